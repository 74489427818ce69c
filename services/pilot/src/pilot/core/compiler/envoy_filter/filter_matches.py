"""Which listeners, chains and filters a patch means. Pure.

On the virtual listeners the port of a match is the destination port of the chain; everywhere else the listener's own.
"""

from typing import Any

from meshcore.model.envoy_filter import FilterMatch, ListenerMatch
from meshcore.xds.names import VIRTUAL_INBOUND, VIRTUAL_OUTBOUND

from pilot.core.compiler.envoy_filter.patches import PatchOf

CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
VIRTUAL = frozenset({VIRTUAL_INBOUND, VIRTUAL_OUTBOUND})
_OLD_NAMES = {
    "envoy.http_connection_manager": CONNECTION_MANAGER,
    "envoy.tcp_proxy": "envoy.filters.network.tcp_proxy",
    "envoy.mongo_proxy": "envoy.filters.network.mongo_proxy",
    "envoy.redis_proxy": "envoy.filters.network.redis_proxy",
    "envoy.router": "envoy.filters.http.router",
    "envoy.cors": "envoy.filters.http.cors",
    "envoy.fault": "envoy.filters.http.fault",
    "envoy.grpc_web": "envoy.filters.http.grpc_web",
    "envoy.lua": "envoy.filters.http.lua",
    "envoy.ext_authz": "envoy.filters.http.ext_authz",
    "envoy.listener.tls_inspector": "envoy.filters.listener.tls_inspector",
    "envoy.listener.http_inspector": "envoy.filters.listener.http_inspector",
    "envoy.listener.original_dst": "envoy.filters.listener.original_dst",
}
"""Names from before Envoy 1.14 of filters that are generated here, as old EnvoyFilters match them."""


def same_name(wanted: str, name: str) -> bool:
    """Whether a match's name is that of a filter."""
    return wanted == name or _OLD_NAMES.get(wanted) == name


def listener_matches(patch: PatchOf, listener: Any, *, whole: bool) -> bool:
    """Whether the listener is meant; `whole` for a patch of the listener itself."""
    match = patch.match.listener
    if match is None:
        return True
    if match.name and match.name != listener.name:
        return False
    if not match.port_number or (listener.name in VIRTUAL and not whole):
        return True
    return bool(match.port_number == listener.address.socket_address.port_value)


def chain_matches(patch: PatchOf, listener: Any, chain: Any) -> bool:
    """Whether a chain of a listener that is meant is meant too."""
    match: ListenerMatch | None = patch.match.listener
    if match is None:
        return True
    found = chain.filter_chain_match
    if match.port_number and listener.name in VIRTUAL and found.destination_port.value != match.port_number:
        return False
    wanted = match.filter_chain
    if wanted is None:
        return True
    protocols = wanted.application_protocols.split(",") if wanted.application_protocols else ()
    return (
        wanted.name in ("", chain.name)
        and (not wanted.sni or wanted.sni in found.server_names)
        and wanted.transport_protocol in ("", found.transport_protocol)
        and all(protocol.strip() in found.application_protocols for protocol in protocols)
        and wanted.destination_port in (0, found.destination_port.value)
    )


def wanted_filter(patch: PatchOf) -> str:
    """The network filter that the match names; empty when it names none."""
    found = _filter(patch)
    return found.name if found is not None else ""


def wanted_sub_filter(patch: PatchOf) -> str:
    """The HTTP filter that the match names; empty when it names none."""
    found = _filter(patch)
    return found.sub_filter.name if found is not None and found.sub_filter is not None else ""


def _filter(patch: PatchOf) -> FilterMatch | None:
    match = patch.match.listener
    return match.filter_chain.filter if match is not None and match.filter_chain is not None else None
