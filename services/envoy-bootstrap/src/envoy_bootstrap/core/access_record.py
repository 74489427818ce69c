"""Envoy's access log entries as the records that are kept: who called what, and what was decided by which policy.

Of a request nothing is taken that may be a secret: no header, no cookie, no body, and of the path only what comes
before the query. Texts are cut to what a record may hold. Pure.
"""

import re
from typing import Any

from meshcore._generated.meshcore.audit.v1 import audit_pb2
from meshcore.access_record import AUDIT_SHADOW, NAME_LIMIT, TEXT_LIMITS

_RULE = re.compile(r"ns\[([^]]*)\]-policy\[([^]]*)\]-rule\[(\d{1,9})\]")
_REFUSED_BY_RBAC = "rbac_access_denied"
_REFUSED = (_REFUSED_BY_RBAC, "jwt_authn_access_denied")
_NO_CHAIN = "filter_chain_not_found"
_HTTP_RBAC, _NETWORK_RBAC = "envoy.filters.http.rbac", "envoy.filters.network.rbac"
_JWT = "envoy.filters.http.jwt_authn"
_ENFORCED = "enforced_effective_policy_id"
_AUDITED = f"{AUDIT_SHADOW}shadow_effective_policy_id"
_CUSTOM = "istio_ext_authz_shadow_effective_policy_id"
_PROTOCOLS = {"HTTP10": "HTTP/1.0", "HTTP11": "HTTP/1.1", "HTTP2": "HTTP/2", "HTTP3": "HTTP/3"}
_FLAGS = {
    "no_route_found": "NR",
    "no_healthy_upstream": "UH",
    "upstream_connection_failure": "UF",
    "upstream_request_timeout": "UT",
    "upstream_overflow": "UO",
    "downstream_connection_termination": "DC",
    "rate_limited": "RL",
    "unauthorized_details": "UAEX",
}


def http_record(entry: Any) -> Any:
    """The record of an `envoy.data.accesslog.v3.HTTPAccessLogEntry`."""
    common, request, response = entry.common_properties, entry.request, entry.response
    reason = response.response_code_details
    made = _record(common, reason, is_denied=reason.startswith(_REFUSED) or _has_uaex(common))
    made.response_code = min(response.response_code.value, 999)
    version = _enum_name(entry, "protocol_version")
    _put(made, "protocol", _PROTOCOLS.get(version, "HTTP"))
    _put(made, "method", _enum_name(request, "request_method").replace("METHOD_UNSPECIFIED", ""))
    _put(made, "authority", request.authority)
    _put(made, "path", re.split(r"[?#;]", request.path, maxsplit=1)[0])
    _put(made, "request_id", request.request_id)
    return made


def tcp_record(entry: Any) -> Any:
    """The record of an `envoy.data.accesslog.v3.TCPAccessLogEntry`.

    Without a type it is the listener's: of a connection that found no filter chain or did not pass the handshake.
    """
    common = entry.common_properties
    reason, is_denied = common.connection_termination_details, False
    if not common.access_log_type:
        is_denied = True
        reason = _NO_CHAIN if common.response_flags.no_route_found else common.downstream_transport_failure_reason
    is_denied = is_denied or reason.startswith(_REFUSED_BY_RBAC) or _has_uaex(common)
    made = _record(common, reason, is_denied=is_denied)
    made.protocol = "TCP"
    return made


def _record(common: Any, reason: str, *, is_denied: bool) -> Any:
    made = audit_pb2.AccessRecord()
    made.start_time.CopyFrom(common.start_time)
    said = common.metadata.filter_metadata
    hint = "envoy.common" in said and said["envoy.common"].fields["access_log_hint"].bool_value
    audited = _first(said, _AUDITED)
    _put_rule(made.audit_policy, audited)
    if is_denied:
        made.verdict = audit_pb2.DENIED
        _put_rule(made.policy, reason if reason.startswith(_REFUSED_BY_RBAC) else _first(said, _CUSTOM))
    else:
        made.verdict = audit_pb2.AUDITED if hint or audited else audit_pb2.ALLOWED
        enforced = _first(said, _ENFORCED)
        _put_rule(made.policy, "" if enforced == audited else enforced)
    peer = common.tls_properties.peer_certificate_properties.subject_alt_name
    _put(made, "principal", next((name.uri for name in peer if name.uri.startswith("spiffe://")), ""))
    _put(made, "request_principal", _request_principal(said))
    _put(made, "source", _address(common.downstream_remote_address))
    _put(made, "destination", _address(common.downstream_local_address))
    _put(made, "response_flags", ",".join(_flags(common)))
    _put(made, "reason", reason)
    return made


def _has_uaex(common: Any) -> bool:
    return bool(common.response_flags.HasField("unauthorized_details"))


def _flags(common: Any) -> list[str]:
    flags = common.response_flags
    present = {field.name for field, _ in flags.ListFields()}
    return [short for name, short in _FLAGS.items() if name in present]


def _first(said: Any, key: str) -> str:
    """A text of the metadata that RBAC filters leave, of requests or of connections."""
    for name in (_HTTP_RBAC, _NETWORK_RBAC):
        if name in said and key in said[name].fields:
            return str(said[name].fields[key].string_value)
    return ""


def _request_principal(said: Any) -> str:
    """Issuer and subject of the token that was verified; no other claim."""
    if _JWT not in said or "payload" not in said[_JWT].fields:
        return ""
    claims = said[_JWT].fields["payload"].struct_value.fields
    issuer, subject = (claims[name].string_value if name in claims else "" for name in ("iss", "sub"))
    return f"{issuer}/{subject}" if issuer and subject else ""


def _put_rule(policy: Any, text: str) -> None:
    found = _RULE.search(text)
    if found is not None:
        policy.namespace, policy.name = found[1][:NAME_LIMIT], found[2][:NAME_LIMIT]
        policy.rule = int(found[3])


def _put(record: Any, name: str, text: str) -> None:
    setattr(record, name, text.replace("\0", "\ufffd")[: TEXT_LIMITS[name]])


def _address(address: Any) -> str:
    at = address.socket_address
    if not at.address:
        return ""
    return f"[{at.address}]:{at.port_value}" if ":" in at.address else f"{at.address}:{at.port_value}"


def _enum_name(message: Any, field: str) -> str:
    found = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(getattr(message, field))
    return str(found.name) if found is not None else ""
