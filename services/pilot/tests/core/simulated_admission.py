"""Whether the proxy that a traffic row's call reaches lets it in: the row's call as that proxy sees it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshcore.testing.traffic_rows import RowCall
from meshcore.testing.traffic_verdict import UNKNOWN, Answer, Partly
from meshcore.xds.resource import ResourceSet
from pilot.core.compiler.jwt_claims import JWT_FILTER, PAYLOAD
from pilot.core.simulation import Arrival, Asked, Decision, admission, arrive
from simulated_tokens import tokens_of

STRANGER = "127.0.0.1"
"""From where a caller without a sidecar calls."""
_HTTP_ALPN, _TCP_ALPN = ("istio-http/1.1",), ("istio",)


def asked_of(call: RowCall, seen: Mapping[str, Any], **known: Any) -> Asked:
    """`seen` is what the application would say that reached it; what is not known of it is the call's own."""
    headers = {name.lower(): text for name, text in seen["headers"].items() if isinstance(text, str)}
    forwarded = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return Asked(
        is_http=call.scheme not in ("tcp", "tls"),
        method="POST" if call.scheme.startswith("grpc") else call.method,
        host=str(seen["host"]),
        path=str(seen["path"]),
        headers=headers,
        remote_ip=forwarded,
        **known,
    )


def refused_at_the_door(resources: ResourceSet, call: RowCall, asked: Asked, *, mutual: bool) -> Answer | None:
    """What the proxy of the called workload answers itself; None when the call goes on to the application."""
    alpn = _HTTP_ALPN if asked.is_http else _TCP_ALPN
    met = arrive(resources, Arrival(asked.destination_port, tls=mutual, alpn=alpn, is_http=asked.is_http))
    if met.refused:
        return Answer(0)
    return refusal(call, met.chain_message, asked)


def refusal(call: RowCall, chain: Any, asked: Asked) -> Answer | None:
    """What a caller gets whom a chain does not let in. ValueError when somebody else is asked."""
    tokens = tokens_of(chain, asked.method, asked.path, asked.headers)
    if tokens.status != 200:
        return Answer(tokens.status, body=UNKNOWN, headers=Partly())
    if tokens.claims:
        asked = replace(asked, metadata={**asked.metadata, JWT_FILTER: {PAYLOAD: tokens.claims}})
    found = admission(chain, asked)
    if found.decision is Decision.ASKED:
        raise ValueError(f"the simulator does not know what an authorizer says: {found.why}")
    if not found.denied:
        return None
    if not chain.filters[-1].name.endswith("http_connection_manager"):
        return Answer(0)
    if call.scheme.startswith("grpc"):
        return Answer(200, body=UNKNOWN, headers=Partly(), grpc_status=7)
    return Answer(403, body="RBAC: access denied", headers=Partly())
