"""What a workload asks of those who call it over mesh TLS."""

from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from meshcore.model import parse_mesh_config
from pilot.core.compiler.tls import downstream_socket


def context(text):
    return tls_pb2.DownstreamTlsContext.FromString(downstream_socket(parse_mesh_config(text)).typed_config.value)


def prefixes(text):
    validation = context(text).common_tls_context.combined_validation_context.default_validation_context
    return [item.matcher.prefix for item in validation.match_typed_subject_alt_names]


def test_callers_are_of_the_trust_domain_its_aliases_or_one_that_a_further_root_vouches_for():
    assert prefixes("") == ["spiffe://cluster.local/"]
    more = "caCertificates: [{pem: x, trustDomains: [c.test, a.test]}]"
    found = prefixes(f"trustDomain: a@test\ntrustDomainAliases: [b.test, a.test]\n{more}")
    assert found == ["spiffe://a.test/", "spiffe://b.test/", "spiffe://c.test/"]


def test_a_trust_domain_that_begins_like_the_mesh_s_is_another_one():
    assert all(prefix.endswith("/") for prefix in prefixes("trustDomain: cluster.local"))


def test_versions_and_ciphers_are_the_mesh_s_and_unknown_words_are_left_out():
    parameters = context("").common_tls_context.tls_params
    assert parameters.tls_minimum_protocol_version == parameters.TLSv1_2
    assert "ECDHE-RSA-AES128-GCM-SHA256" in parameters.cipher_suites
    said = "meshMTLS: {minProtocolVersion: TLSV1_3, cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256, ROT13]}"
    parameters = context(said).common_tls_context.tls_params
    assert parameters.tls_minimum_protocol_version == parameters.TLSv1_3
    assert list(parameters.cipher_suites) == ["ECDHE-RSA-AES128-GCM-SHA256"]


def test_a_caller_without_a_certificate_is_never_taken():
    assert context("").require_client_certificate.value
