"""A traffic row's call as the simulator is asked about it: the request, its headers, and what chooses its endpoint."""

from collections.abc import Mapping, Sequence
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from meshcore.testing.traffic_rows import RowCall
from meshcore.testing.traffic_verdict import UNKNOWN, Partly
from meshcore.xds import registry
from pilot.core.compiler.persistent_sessions import FILTER as SESSIONS
from pilot.core.simulation import Call, Outcome
from simulated_endpoints import is_hashed
from simulated_hops import Hop
from simulated_tokens import tokens_of

_WS_HEADERS = {"upgrade": "websocket", "connection": "Upgrade"}
_GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers"}
_JOINED = {"request": ",", "response": ", "}
"""What stands between the lines of a header, as the application and as the client tell of it."""


def question(call: RowCall, dialled: str, port: int, handed: Hop | None = None) -> Call:
    """As the simulator is asked; `handed` is the connection by which another proxy hands the call on."""
    sent = {**call.headers, **(_WS_HEADERS if call.scheme == "ws" else {})}
    sent |= _GRPC_HEADERS if call.scheme.startswith("grpc") else {}
    own_tls = call.scheme in ("https", "grpcs", "tls")
    sni = handed.sni if handed is not None else ""
    return Call(
        host=call.host,
        port=port,
        path=call.target,
        method="POST" if call.scheme.startswith("grpc") else call.method,
        headers=sent,
        address=dialled,
        is_http=call.scheme not in ("tcp", "tls"),
        tls=own_tls or bool(sni),
        sni=sni or ((call.sni or call.host) if own_tls else ""),
        alpn=handed.alpn if handed is not None else (),
    )


def keys_of(outcome: Outcome, cluster: Any, call: RowCall) -> list[str]:
    """By what Envoy chooses the endpoint of each request of the call; nothing where it does not choose by a key."""
    route = outcome.message
    if route is not None and SESSIONS in route.typed_per_filter_config and (call.keep_cookies or call.keep_headers):
        return ["session"]
    if not is_hashed(cluster):
        return []
    if route is None:
        proxy: Any = registry.unpack(outcome.chain_message.filters[-1].typed_config)
        return ["address"] if proxy.hash_policy else []
    return [_key(route.route.hash_policy, call.numbered(number), number) for number in range(call.count)]


def _key(policies: Sequence[Any], call: RowCall, number: int) -> str:
    found = []
    headers, query = lower_names(call.headers), parse_qs(urlsplit(call.target).query)
    cookies = SimpleCookie(headers.get("cookie", ""))
    for policy in policies:
        kind = policy.WhichOneof("policy_specifier")
        if kind == "header":
            found.append(headers.get(policy.header.header_name.lower(), ""))
        elif kind == "query_parameter":
            found += query.get(policy.query_parameter.name, [])[:1]
        elif kind == "cookie":
            own = cookies.get(policy.cookie.name)
            found.append(own.value if own else "kept" if call.keep_cookies else f"new {number}")
        elif kind == "connection_properties":
            found.append("address")
    return " ".join(filter(None, found)) or f"chance {number}"


def authority(call: RowCall) -> str:
    return lower_names(call.headers).get("host", urlsplit(call.url).netloc)


def lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def sent(call: RowCall) -> dict[str, Any]:
    """The headers of the call but for the one that the proxies write themselves."""
    return {name: value for name, value in call.headers.items() if name.lower() != "x-forwarded-client-cert"}


def without_tokens(saw: Partly, chain: Any, call: RowCall) -> Partly:
    """Nothing is said of what the JWT filter may take off or write."""
    changed = tokens_of(chain, call.method, call.target, {}).headers
    if not changed:
        return saw
    headers = {name: value for name, value in saw["headers"].items() if name.lower() not in changed}
    path = {} if "token" in call.target else {"path": saw["path"]}
    return Partly({**{name: saw[name] for name in ("caller", "method", "host")}, **path, "headers": Partly(headers)})


def levels_of(outcome: Outcome, cluster: str) -> list[Any]:
    """Where header operations are, the most specific first."""
    parts = [part for part in outcome.message.route.weighted_clusters.clusters if part.name == cluster]
    return [*parts[:1], outcome.message, outcome.host_message, outcome.routes_message]


def changed(headers: dict[str, Any], levels: list[Any], direction: str) -> dict[str, Any]:
    for level in levels:
        for name in getattr(level, f"{direction}_headers_to_remove"):
            headers[name.lower()] = None
        for option in getattr(level, f"{direction}_headers_to_add"):
            name, value = option.header.key.lower(), option.header.value
            before = headers.get(name)
            if "%" in value:
                headers[name] = UNKNOWN
            elif option.append_action == 2:  # OVERWRITE_IF_EXISTS_OR_ADD
                headers[name] = value
            elif before is not UNKNOWN:
                headers[name] = f"{before}{_JOINED[direction]}{value}" if before else value
    return headers
