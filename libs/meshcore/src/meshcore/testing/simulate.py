"""Where would this call go? Answers from compiled resources, so that tests state behaviour and not bytes.

    outcome = simulate(resources, Call("reviews", 9080, path="/a", headers={"user": "ada"}))
    assert outcome.shares == {"outbound|9080|v2|reviews.shop.svc.cluster.local": 100.0}

It follows what Envoy documents: the listener by address, the filter chain by the most specific match, the virtual host
by domain, the first route that matches. It knows the parts that this mesh emits, and raises for what it does not know.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.testing.simulate_routes import find_route, find_virtual_host
from meshcore.xds import registry
from meshcore.xds.names import HTTP_PROXY_ROUTE, VIRTUAL_INBOUND, VIRTUAL_OUTBOUND, listener_name
from meshcore.xds.resource import ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE

HTTP1 = ("http/1.1",)
ISTIO = ("istio",)


@dataclass(frozen=True)
class Call:
    """One request (or connection, when `is_http` is False) that leaves a workload.

    `address` is what the client dials when traffic is captured; empty means that it goes through the HTTP proxy, if
    there is one, else to an address that only the port tells apart. `tls` is the application's own TLS, with `sni`.
    """

    host: str
    port: int = 80
    path: str = "/"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    is_http: bool = True
    tls: bool = False
    sni: str = ""


@dataclass(frozen=True)
class Arrival:
    """One connection that arrives at a workload's port; `alpn` is what the client offers in its TLS hello."""

    port: int
    tls: bool = False
    alpn: tuple[str, ...] = ()
    is_http: bool = True


@dataclass(frozen=True)
class Outcome:
    """What becomes of a call.

    `shares` is the percentage of each cluster; empty when the proxy answers by itself (`status`) or refuses the
    connection (`refused`). `endpoints` are `address:port` by cluster, healthy ones only.
    """

    listener: str = ""
    filter_chain: str = ""
    virtual_host: str = ""
    route: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    endpoints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    status: int = 0
    location: str = ""
    refused: bool = False
    terminates_mtls: bool = False
    message: Any = None
    """The matched route as a protobuf message, for what has no field of its own here."""


def simulate(resources: ResourceSet, call: Call) -> Outcome:
    """Where a call of the workload goes."""
    listener = _outbound_listener(resources, call)
    if listener is None:
        return Outcome(refused=True)
    offered = HTTP1 if call.is_http and not call.tls else ()
    chain = _chain(listener, call.address, call.port, call.tls, offered, call.sni)
    if chain is None:
        return Outcome(listener=listener.name, refused=True)
    return _through(resources, listener, chain, call)


def arrive(resources: ResourceSet, arrival: Arrival) -> Outcome:
    """What a connection to the workload meets."""
    listener = _inbound_listener(resources, arrival.port)
    if listener is None:
        return Outcome(refused=True)
    offered = arrival.alpn if arrival.tls else HTTP1 if arrival.is_http else ()
    chain = _chain(listener, "", arrival.port, arrival.tls, offered, "")
    if chain is None:
        return Outcome(listener=listener.name, refused=True)
    return _through(resources, listener, chain, Call("", arrival.port, is_http=arrival.is_http))


def _named(resources: ResourceSet, type_url: str, name: str) -> Any:
    found = resources.of_type(type_url).get(name)
    return registry.parse(type_url, found.body) if found is not None else None


def _outbound_listener(resources: ResourceSet, call: Call) -> Any:
    for name in (listener_name(call.address, call.port), listener_name("0.0.0.0", call.port)):
        found = _named(resources, LISTENER_TYPE, name)
        if found is not None and not _is_inbound(found):
            return found
    captured = _named(resources, LISTENER_TYPE, VIRTUAL_OUTBOUND)
    return captured if captured is not None else _http_proxy(resources)


def _http_proxy(resources: ResourceSet) -> Any:
    for item in resources.of_type(LISTENER_TYPE).values():
        listener = registry.parse(LISTENER_TYPE, item.body)
        for chain in listener.filter_chains:
            manager = registry.unpack(chain.filters[-1].typed_config)
            if getattr(getattr(manager, "rds", None), "route_config_name", "") == HTTP_PROXY_ROUTE:
                return listener
    return None


def _inbound_listener(resources: ResourceSet, port: int) -> Any:
    for item in resources.of_type(LISTENER_TYPE).values():
        listener = registry.parse(LISTENER_TYPE, item.body)
        own = listener.address.socket_address.port_value == port
        if item.name == VIRTUAL_INBOUND or (own and item.name.endswith(f"_{port}") and _is_inbound(listener)):
            return listener
    return None


def _is_inbound(listener: Any) -> bool:
    from envoy.config.core.v3 import base_pb2

    return bool(listener.traffic_direction == base_pb2.TrafficDirection.INBOUND)


def _chain(listener: Any, address: str, port: int, tls: bool, offered: Iterable[str], sni: str) -> Any:
    """Envoy narrows down criterion by criterion: port, address, server name, transport, application protocol."""
    left = list(listener.filter_chains)
    left = _most(left, lambda m: m.HasField("destination_port"), lambda m: m.destination_port.value == port)
    left = _most(
        left, lambda m: bool(m.prefix_ranges), lambda m: any(_inside(address, item) for item in m.prefix_ranges)
    )
    left = _most(
        left, lambda m: bool(m.server_names), lambda m: any(_names(pattern, sni) for pattern in m.server_names)
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


def _names(pattern: str, sni: str) -> bool:
    return pattern == sni or (pattern.startswith("*.") and sni.endswith(pattern[1:]))


def _through(resources: ResourceSet, listener: Any, chain: Any, call: Call) -> Outcome:
    config = registry.unpack(chain.filters[-1].typed_config)
    terminates = chain.transport_socket.name == "envoy.transport_sockets.tls"
    place = {"listener": listener.name, "filter_chain": chain.name, "terminates_mtls": terminates}
    if config is None:
        raise ValueError(f"{chain.filters[-1].name} is not known to the simulator")
    if config.DESCRIPTOR.name == "TcpProxy":
        parts = config.weighted_clusters.clusters
        weights = {part.name: part.weight for part in parts} if parts else {config.cluster: 1}
        return _to_clusters(resources, weights, place)
    routes = config.route_config if config.HasField("route_config") else None
    if routes is None:
        routes = _named(resources, ROUTE_TYPE, config.rds.route_config_name)
    if routes is None:
        return Outcome(**place, status=404)
    host = find_virtual_host(routes, call.host, call.port)
    route = find_route(host, call.method, call.host, call.path, call.headers) if host is not None else None
    if host is None or route is None:
        return Outcome(**place, virtual_host=host.name if host is not None else "", status=404)
    place |= {"virtual_host": host.name, "route": route.name, "message": route}
    return _act(resources, route, place)


def _act(resources: ResourceSet, route: Any, place: dict[str, Any]) -> Outcome:
    if route.HasField("direct_response"):
        return Outcome(**place, status=route.direct_response.status)
    if route.HasField("redirect"):
        moved = route.redirect
        code = {0: 301, 1: 302, 2: 303, 3: 307, 4: 308}[moved.response_code]
        return Outcome(
            **place, status=code, location=moved.host_redirect + (moved.path_redirect or moved.prefix_rewrite)
        )
    action = route.route
    parts = action.weighted_clusters.clusters
    weights = {part.name: part.weight.value for part in parts} if parts else {action.cluster: 1}
    return _to_clusters(resources, weights, place)


def _to_clusters(resources: ResourceSet, weights: Mapping[str, int], place: dict[str, Any]) -> Outcome:
    total = sum(weights.values())
    shares = {name: 100.0 * weight / total for name, weight in weights.items() if weight}
    known = {name for name in shares if name in resources.of_type(CLUSTER_TYPE)}
    if not known:
        return Outcome(**place, shares=shares, status=503)
    return Outcome(**place, shares=shares, endpoints={name: _endpoints(resources, name) for name in sorted(known)})


def _endpoints(resources: ResourceSet, name: str) -> tuple[str, ...]:
    assignment = _named(resources, ENDPOINT_TYPE, name)
    if assignment is None:
        assignment = _named(resources, CLUSTER_TYPE, name).load_assignment
    best = min((group.priority for group in assignment.endpoints), default=0)
    return tuple(
        _spelled(host.endpoint.address)
        for group in assignment.endpoints
        if group.priority == best
        for host in group.lb_endpoints
        if host.health_status in (0, 1)
    )


def _spelled(address: Any) -> str:
    if address.HasField("pipe"):
        return f"unix://{address.pipe.path}"
    return f"{address.socket_address.address}:{address.socket_address.port_value}"
