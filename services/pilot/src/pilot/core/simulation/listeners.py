"""Which listener takes a connection, and which of its filter chains: Envoy's matching, for the simulator. Pure."""

from collections.abc import Iterable
from typing import Any

from meshcore.xds import registry
from meshcore.xds.names import HTTP_PROXY_ROUTE, VIRTUAL_INBOUND, VIRTUAL_OUTBOUND, listener_name
from meshcore.xds.resource import ResourceSet
from meshcore.xds.types import LISTENER_TYPE

from pilot.core.simulation.calls import Call


def named(resources: ResourceSet, type_url: str, name: str) -> Any:
    """The message of one resource; None when there is none."""
    found = resources.of_type(type_url).get(name)
    return registry.parse(type_url, found.body) if found is not None else None


def outbound_listener(resources: ResourceSet, call: Call) -> Any:
    """The listener that takes a call: of its address, of its port, the capturing one, or the HTTP proxy."""
    wildcards = ("::",) if ":" in call.address else ("0.0.0.0",) if call.address else ("0.0.0.0", "::")
    for address in (call.address, *wildcards):
        found = named(resources, LISTENER_TYPE, listener_name(address, call.port))
        if found is None and call.address:
            found = _beside(resources, address, call.port)
        if found is not None and not _is_inbound(found):
            return found
    captured = named(resources, LISTENER_TYPE, VIRTUAL_OUTBOUND)
    return captured if captured is not None else _http_proxy(resources)


def _beside(resources: ResourceSet, address: str, port: int) -> Any:
    """The listener that has an address beside its first one."""
    for name, item in resources.of_type(LISTENER_TYPE).items():
        if name.endswith(f"_{port}"):
            listener = registry.parse(LISTENER_TYPE, item.body)
            if any(more.address.socket_address.address == address for more in listener.additional_addresses):
                return listener
    return None


def _http_proxy(resources: ResourceSet) -> Any:
    for item in resources.of_type(LISTENER_TYPE).values():
        listener = registry.parse(LISTENER_TYPE, item.body)
        for chain in listener.filter_chains:
            manager = registry.unpack(chain.filters[-1].typed_config)
            if getattr(getattr(manager, "rds", None), "route_config_name", "") == HTTP_PROXY_ROUTE:
                return listener
    return None


def inbound_listener(resources: ResourceSet, port: int) -> Any:
    """The listener that takes what arrives at a port of the workload."""
    for item in resources.of_type(LISTENER_TYPE).values():
        listener = registry.parse(LISTENER_TYPE, item.body)
        own = listener.address.socket_address.port_value == port
        if item.name == VIRTUAL_INBOUND or (own and item.name.endswith(f"_{port}") and _is_inbound(listener)):
            return listener
    return None


def _is_inbound(listener: Any) -> bool:
    from envoy.config.core.v3 import base_pb2

    return bool(listener.traffic_direction == base_pb2.TrafficDirection.INBOUND)


def filter_chain(listener: Any, address: str, port: int, tls: bool, offered: Iterable[str], sni: str) -> Any:
    """Envoy narrows down criterion by criterion: port, address, server name, transport, application protocol."""
    left = list(listener.filter_chains)
    left = _most(left, lambda m: m.HasField("destination_port"), lambda m: m.destination_port.value == port)
    left = _most(
        left, lambda m: bool(m.prefix_ranges), lambda m: any(_inside(address, item) for item in m.prefix_ranges)
    )
    best = max(
        (_closeness(pattern, sni) for chain in left for pattern in chain.filter_chain_match.server_names), default=0
    )
    left = _most(
        left,
        lambda m: bool(m.server_names),
        lambda m: best > 0 and any(_closeness(pattern, sni) == best for pattern in m.server_names),
    )
    transport = "tls" if tls else "raw_buffer"
    left = _most(left, lambda m: bool(m.transport_protocol), lambda m: m.transport_protocol == transport)
    protocols = set(offered)
    left = _most(
        left, lambda m: bool(m.application_protocols), lambda m: bool(protocols & set(m.application_protocols))
    )
    if left:
        return left[0]
    return listener.default_filter_chain if listener.HasField("default_filter_chain") else None


def _most(chains: list[Any], asks: Any, holds: Any) -> list[Any]:
    """Chains whose condition holds win over those without one."""
    strict = [chain for chain in chains if asks(chain.filter_chain_match) and holds(chain.filter_chain_match)]
    return strict or [chain for chain in chains if not asks(chain.filter_chain_match)]


def _inside(address: str, network: Any) -> bool:
    from ipaddress import ip_address, ip_network

    if not address:
        return False
    return ip_address(address) in ip_network(f"{network.address_prefix}/{network.prefix_len.value}", strict=False)


def _closeness(pattern: str, sni: str) -> int:
    """How specifically a server name is matched: the whole name before the longest suffix; 0 is not at all."""
    if pattern == sni:
        return len(sni) + 1
    return len(pattern) - 1 if pattern.startswith("*.") and sni.endswith(pattern[1:]) else 0
