"""TLS contexts of the mesh: workload certificates and root by SDS from the agent, peers named by SPIFFE ids. Pure.

Stock Envoy has no metadata exchange filter, so `istio-peer-exchange` is matched on the server side, never offered.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2, proxy_protocol_pb2
from envoy.extensions.transport_sockets.proxy_protocol.v3 import upstream_proxy_protocol_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from meshcore.identity import trust_domain_name
from meshcore.model.destination_rule import ClientTlsSettings, ProxyProtocolVersion, TlsMode
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.sidecar import TlsProtocol
from meshcore.model.tls_words import CIPHER_SUITES, USED_CURVES
from meshcore.xds.names import ROOT_CERTIFICATE, WORKLOAD_CERTIFICATE
from meshcore.xds.secret_names import file_key_pair, file_root

from pilot.core.compiler.istiod_switches import is_switched_on
from pilot.core.compiler.messages import any_of, boolean
from pilot.core.compiler.sds import ca_of, key_pair_of, sds_secret

PROXY_PROTOCOL_SOCKET = "envoy.transport_sockets.upstream_proxy_protocol"
TLS_SOCKET = "envoy.transport_sockets.tls"
RAW_SOCKET = "envoy.transport_sockets.raw_buffer"
ISTIO_ALPN = ("istio",)
ISTIO_H2_ALPN = ("istio", "h2")
ISTIO_SNIFFED_ALPN = ("istio-http/1.1", "istio", "http/1.1")
"""For a port whose server sniffs the protocol, from a client that is known to speak HTTP/1 (xds.md part 3)."""
SERVER_ALPN = ("h2", "http/1.1")
ALL_ISTIO_ALPN = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")
ISTIO_HTTP_ALPN = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
ISTIO_TCP_ALPN = ("istio-peer-exchange", "istio")
PLAIN_HTTP_ALPN = ("http/1.1", "h2c")
_CIPHERS = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
)
_SAN = common_pb2.SubjectAltNameMatcher
_SKIPS_DOMAINS = "PILOT_SKIP_VALIDATE_TRUST_DOMAIN"


def trust_domains(mesh: MeshConfig) -> tuple[str, ...]:
    """The trust domain and its aliases, in this order."""
    return tuple(dict.fromkeys(map(trust_domain_name, (mesh.trust_domain, *mesh.trust_domain_aliases))))


def spiffe_uris(mesh: MeshConfig, accounts: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The URIs that stand for (namespace, service account) in every trust domain, sorted."""
    return tuple(
        sorted(f"spiffe://{domain}/ns/{ns}/sa/{name}" for ns, name in accounts for domain in trust_domains(mesh))
    )


def downstream_socket(mesh: MeshConfig) -> base_pb2.TransportSocket:
    """Terminate mesh mTLS: a client certificate of our trust domains is required."""
    minimum = common_pb2.TlsParameters.TLSv1_3 if mesh.mesh_mtls.min_protocol_version is TlsProtocol.TLSV1_3 else None
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=tls_pb2.CommonTlsContext(
            tls_params=common_pb2.TlsParameters(
                tls_minimum_protocol_version=minimum or common_pb2.TlsParameters.TLSv1_2,
                tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
                cipher_suites=_ciphers(mesh),
            ),
            tls_certificate_sds_secret_configs=[sds_secret(WORKLOAD_CERTIFICATE)],
            combined_validation_context=validation(
                sds_secret(ROOT_CERTIFICATE),
                san_uris(prefix=prefixes_of_callers(mesh)),
            ),
            alpn_protocols=SERVER_ALPN,
        ),
        require_client_certificate=boolean(True),
    )
    return tls_socket(context)


def _ciphers(mesh: MeshConfig) -> Iterable[str]:
    """MeshConfig's, but for words that Envoy does not know and Galley has warned of."""
    return known_ciphers(mesh.mesh_mtls.cipher_suites) or _CIPHERS


def domains_of_callers(mesh: MeshConfig) -> tuple[str, ...]:
    """The mesh's own, and those that further roots vouch for."""
    further = (domain for item in mesh.ca_certificates for domain in item.trust_domains)
    return tuple(dict.fromkeys((*trust_domains(mesh), *map(trust_domain_name, further))))


def prefixes_of_callers(mesh: MeshConfig) -> list[str]:
    """With what the URI of a caller may begin; none where everybody is taken whom the root vouches for.

    Istiod's variable PILOT_SKIP_VALIDATE_TRUST_DOMAIN says so; here `defaultConfig.proxyMetadata` has it.
    """
    if is_switched_on(mesh, _SKIPS_DOMAINS):
        return []
    return [f"spiffe://{domain}/" for domain in domains_of_callers(mesh)]


def mutual_socket(sans: Sequence[str], sni: str, alpn: Sequence[str]) -> base_pb2.TransportSocket:
    """Originate mesh mTLS to servers with one of these SPIFFE URIs; none means anybody whom the mesh's root vouches
    for."""
    return tls_socket(
        tls_pb2.UpstreamTlsContext(
            common_tls_context=tls_pb2.CommonTlsContext(
                tls_params=common_pb2.TlsParameters(
                    tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2,
                    tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
                ),
                tls_certificate_sds_secret_configs=[sds_secret(WORKLOAD_CERTIFICATE)],
                combined_validation_context=validation(sds_secret(ROOT_CERTIFICATE), san_uris(exact=sans)),
                alpn_protocols=alpn,
            ),
            sni=sni,
        )
    )


def configured_socket(
    settings: ClientTlsSettings, fallback_sans: Sequence[str], mesh: MeshConfig, *, is_http2: bool
) -> base_pb2.TransportSocket:
    """Originate TLS as a DestinationRule says (SIMPLE or MUTUAL), to servers with one of its (or the service's)
    names. Of the mesh's `tlsDefaults` ciphers and curves count."""
    general = mesh.tls_defaults
    common = tls_pb2.CommonTlsContext(
        tls_params=common_pb2.TlsParameters(
            tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2,
            tls_maximum_protocol_version=common_pb2.TlsParameters.TLSv1_3,
            cipher_suites=known_ciphers(general.cipher_suites),
            ecdh_curves=known_curves(general.ecdh_curves),
        )
    )
    credential = settings.credential_name
    if settings.mode is TlsMode.MUTUAL:
        files = file_key_pair(settings.client_certificate, settings.private_key)
        pair = key_pair_of(credential, cluster=True) if credential else sds_secret(files)
        common.tls_certificate_sds_secret_configs.append(pair)
    if not settings.insecure_skip_verify:
        file = file_root(settings.ca_certificates, settings.ca_crl)
        root = ca_of(credential, cluster=True) if credential else sds_secret(file)
        names = settings.subject_alt_names or tuple(fallback_sans)
        common.combined_validation_context.CopyFrom(validation(root, sans_of_any_kind(names)))
    if is_http2:
        common.alpn_protocols.append("h2")
    return tls_socket(tls_pb2.UpstreamTlsContext(common_tls_context=common, sni=settings.sni))


def known_ciphers(names: Iterable[str]) -> tuple[str, ...]:
    """Each once, without those that Envoy does not know: Galley has warned of them."""
    return tuple(dict.fromkeys(name for name in names if name in CIPHER_SUITES))


def known_curves(names: Iterable[str]) -> tuple[str, ...]:
    """As `known_ciphers`."""
    return tuple(dict.fromkeys(name for name in names if name in USED_CURVES))


def raw_socket() -> base_pb2.TransportSocket:
    """Plaintext."""
    return base_pb2.TransportSocket(name=RAW_SOCKET, typed_config=any_of(raw_buffer_pb2.RawBuffer()))


def announce_caller(cluster: cluster_pb2.Cluster, version: ProxyProtocolVersion) -> None:
    """Begin each connection with a PROXY protocol header, before whatever the sockets of the cluster do."""
    if not cluster.transport_socket_matches and not cluster.HasField("transport_socket"):
        cluster.transport_socket.CopyFrom(raw_socket())
    sockets = [item.transport_socket for item in cluster.transport_socket_matches]
    for socket in sockets or [cluster.transport_socket]:
        config = upstream_proxy_protocol_pb2.ProxyProtocolUpstreamTransport(transport_socket=socket)
        config.config.version = proxy_protocol_pb2.ProxyProtocolConfig.Version.Value(version)
        socket.CopyFrom(base_pb2.TransportSocket(name=PROXY_PROTOCOL_SOCKET, typed_config=any_of(config)))


def tls_socket(context: Any) -> base_pb2.TransportSocket:
    """The transport socket of an upstream or downstream context."""
    return base_pb2.TransportSocket(name=TLS_SOCKET, typed_config=any_of(context))


def validation(root: secret_pb2.SdsSecretConfig, names: Iterable[Any]) -> Any:
    """Peers that the root of a secret vouches for, with one of these names."""
    return tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=common_pb2.CertificateValidationContext(match_typed_subject_alt_names=names),
        validation_context_sds_secret_config=root,
    )


def san_uris(exact: Iterable[str] = (), prefix: Iterable[str] = ()) -> list[Any]:
    """Matchers of URI names."""
    found = [string_pb2.StringMatcher(exact=text) for text in exact]
    found += [string_pb2.StringMatcher(prefix=text) for text in prefix]
    return [_SAN(san_type=_SAN.URI, matcher=matcher) for matcher in found]


def sans_of_any_kind(names: Iterable[str]) -> list[Any]:
    """Matchers of names that a person wrote: a URI each, or else a DNS name or an IP address."""
    found = []
    for name in names:
        matcher = string_pb2.StringMatcher(exact=name)
        kinds = (_SAN.URI,) if "://" in name else (_SAN.DNS, _SAN.IP_ADDRESS)
        found += [_SAN(san_type=kind, matcher=matcher) for kind in kinds]
    return found
