from typing import Any

import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy_bootstrap.core.access_record import http_record, tcp_record
from google.protobuf import text_format
from meshcore._generated.meshcore.audit.v1 import audit_pb2
from meshcore.access_record import TEXT_LIMITS

COMMON = """
downstream_remote_address { socket_address { address: "127.1.0.2" port_value: 40000 } }
downstream_local_address { socket_address { address: "fd00::7" port_value: 9080 } }
start_time { seconds: 100 nanos: 5 }
tls_properties { peer_certificate_properties { subject_alt_name { dns: "x" }
  subject_alt_name { uri: "spiffe://cluster.local/ns/shop/sa/caller" } } }
"""
REQUEST = """
protocol_version: HTTP2
request { request_method: POST scheme: "https" authority: "pay.shop:9080" path: "/pay;s=secret?token=secret#secret"
  user_agent: "secret" referer: "secret" forwarded_for: "secret" original_path: "/secret" request_id: "r-1"
  request_headers { key: "authorization" value: "secret" } }
"""


def http(common: str = "", response: str = "response_code { value: 200 }", more: str = REQUEST) -> Any:
    text = f"common_properties {{ {COMMON} {common} }} {more} response {{ {response} }}"
    return http_record(text_format.Parse(text, accesslog_pb2.HTTPAccessLogEntry()))


def tcp(common: str) -> Any:
    return tcp_record(
        text_format.Parse(f"common_properties {{ {COMMON} {common} }}", accesslog_pb2.TCPAccessLogEntry())
    )


def metadata(namespace: str, **fields: str) -> str:
    listed = " ".join(f'fields {{ key: "{key}" value {{ {value} }} }}' for key, value in fields.items())
    return f'filter_metadata {{ key: "{namespace}" value {{ {listed} }} }}'


def policy(rule: Any) -> tuple[str, str, int]:
    return rule.namespace, rule.name, rule.rule


def test_a_denied_request_names_the_policy_and_the_caller_and_no_secret():
    made = http(
        response='response_code { value: 403 } response_code_details: "rbac_access_denied_matched_policy'
        '[ns[shop]-policy[closed.v1]-rule[12]]"'
    )
    assert made.verdict == audit_pb2.DENIED
    assert policy(made.policy) == ("shop", "closed.v1", 12)
    assert made.principal == "spiffe://cluster.local/ns/shop/sa/caller"
    assert (made.source, made.destination) == ("127.1.0.2:40000", "[fd00::7]:9080")
    assert (made.protocol, made.method, made.authority, made.path) == ("HTTP/2", "POST", "pay.shop:9080", "/pay")
    assert (made.response_code, made.request_id, made.start_time.seconds) == (403, "r-1", 100)
    assert "secret" not in str(made)


@pytest.mark.parametrize("details", ["rbac_access_denied_matched_policy[none]", "rbac_access_denied_matched_policy[x"])
def test_what_no_allow_policy_lets_in_names_no_policy(details):
    made = http(response=f'response_code_details: "{details}"')
    assert (made.verdict, made.policy.name, made.reason) == (audit_pb2.DENIED, "", details)


def test_a_refused_token_and_an_external_refusal_are_denied():
    flag = "response_flags { unauthorized_details { reason: EXTERNAL_SERVICE } }"
    made = http(
        response='response_code { value: 401 } response_code_details: "jwt_authn_access_denied{Jwt_is_expired}"'
    )
    assert (made.verdict, made.response_flags) == (audit_pb2.DENIED, "")
    mark = metadata(
        "envoy.filters.http.rbac",
        istio_ext_authz_shadow_effective_policy_id='string_value: "istio-ext-authz-ask-ns[shop]-policy[ask]-rule[0]"',
    )
    made = http(
        f"{flag} metadata {{ {mark} }}", 'response_code { value: 302 } response_code_details: "ext_authz_denied"'
    )
    assert (made.verdict, policy(made.policy)) == (audit_pb2.DENIED, ("shop", "ask", 0))


@pytest.mark.parametrize("namespace", ["envoy.filters.http.rbac", "envoy.filters.network.rbac"])
def test_an_audit_policy_and_the_allow_policy_are_named(namespace):
    rules = metadata(
        namespace,
        enforced_effective_policy_id='string_value: "ns[shop]-policy[open]-rule[1]"',
        istio_audit_shadow_effective_policy_id='string_value: "ns[root]-policy[watch]-rule[2]"',
    )
    hint = metadata("envoy.common", access_log_hint="bool_value: true")
    for made in (
        http(f"metadata {{ {rules} {hint} }}"),
        tcp(f"access_log_type: TcpConnectionEnd metadata {{ {rules} }}"),
    ):
        assert made.verdict == audit_pb2.AUDITED
        assert policy(made.audit_policy) == ("root", "watch", 2)
        assert policy(made.policy) == ("shop", "open", 1)


def test_the_audit_policys_own_filter_allows_nothing():
    name = 'string_value: "ns[root]-policy[watch]-rule[2]"'
    both = metadata(
        "envoy.filters.http.rbac",
        enforced_effective_policy_id=name,
        istio_audit_shadow_effective_policy_id=name,
    )
    assert http(f"metadata {{ {both} }}").policy.name == ""


def test_a_hint_alone_is_enough_and_a_hint_that_says_no_is_none():
    for said, verdict in (("true", audit_pb2.AUDITED), ("false", audit_pb2.ALLOWED)):
        hint = metadata("envoy.common", access_log_hint=f"bool_value: {said}")
        assert http(f"metadata {{ {hint} }}").verdict == verdict


def test_of_a_token_only_issuer_and_subject_are_taken():
    claims = " ".join(
        f'fields {{ key: "{key}" value {{ string_value: "{value}" }} }}'
        for key, value in (("iss", "https://issuer.example"), ("sub", "ann"), ("email", "secret"))
    )
    made = http(f"metadata {{ {metadata('envoy.filters.http.jwt_authn', payload=f'struct_value {{ {claims} }}')} }}")
    assert made.request_principal == "https://issuer.example/ann"
    assert "secret" not in str(made)


def test_connections_that_a_policy_or_the_listener_refuses():
    made = tcp(
        "access_log_type: TcpConnectionEnd "
        'connection_termination_details: "rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]"'
    )
    assert (made.verdict, policy(made.policy), made.protocol) == (audit_pb2.DENIED, ("a", "b", 0), "TCP")
    made = tcp("access_log_type: TcpConnectionEnd response_flags { unauthorized_details { reason: EXTERNAL_SERVICE } }")
    assert (made.verdict, made.response_flags) == (audit_pb2.DENIED, "UAEX")
    made = tcp('response_flags { no_route_found: true } downstream_transport_failure_reason: "TLS_error"')
    assert (made.verdict, made.reason, made.response_flags) == (audit_pb2.DENIED, "filter_chain_not_found", "NR")
    made = tcp('downstream_transport_failure_reason: "PEER_DID_NOT_RETURN_A_CERTIFICATE"')
    assert (made.verdict, made.reason) == (audit_pb2.DENIED, "PEER_DID_NOT_RETURN_A_CERTIFICATE")
    assert tcp("access_log_type: TcpConnectionEnd").verdict == audit_pb2.ALLOWED


def test_an_empty_entry_and_unknown_numbers_make_a_record():
    assert http_record(accesslog_pb2.HTTPAccessLogEntry()).verdict == audit_pb2.ALLOWED
    entry = accesslog_pb2.HTTPAccessLogEntry()
    entry.request.request_method = 77
    entry.response.response_code.value = 2**31
    assert (http_record(entry).method, http_record(entry).response_code) == ("", 999)


def test_texts_are_cut_to_what_is_stored():
    long = "x" * 5000
    request = f'request {{ authority: "{long}" path: "/{long}" request_id: "{long}" }}'
    made = http(response=f'response_code_details: "{long}"', more=request)
    for name in ("authority", "path", "request_id", "reason"):
        assert len(getattr(made, name)) == TEXT_LIMITS[name]
