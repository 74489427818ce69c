"""Where would this call go? Answers from compiled resources, so that tests and tools state behaviour and not bytes.

    outcome = simulate(resources, Call("reviews", 9080, path="/a", headers={"user": "ada"}))
    assert outcome.shares == {"outbound|9080|v2|reviews.shop.svc.cluster.local": 100.0}

It follows what Envoy documents: the listener by address, the filter chain by the most specific match, the virtual host
by domain, the first route that matches. It knows the parts that this mesh emits, and raises for what it does not know.
Pure.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshcore.xds import registry
from meshcore.xds.resource import ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, ROUTE_TYPE

from pilot.core.simulation.calls import HTTP1, Arrival, Call, Outcome
from pilot.core.simulation.listeners import filter_chain, inbound_listener, named, outbound_listener
from pilot.core.simulation.normal_paths import normal_path
from pilot.core.simulation.routes import find_route, find_virtual_host, redirected


def simulate(resources: ResourceSet, call: Call) -> Outcome:
    """Where a call of the workload goes."""
    listener = outbound_listener(resources, call)
    if listener is None:
        return Outcome(refused=True)
    offered = call.alpn if call.tls else HTTP1 if call.is_http else ()
    chain = filter_chain(listener, call.address, call.port, call.tls, offered, call.sni)
    if chain is None:
        return Outcome(listener=listener.name, refused=True)
    return _through(resources, listener, chain, call)


def arrive(resources: ResourceSet, arrival: Arrival) -> Outcome:
    """What a connection to the workload meets."""
    listener = inbound_listener(resources, arrival.port)
    if listener is None:
        return Outcome(refused=True)
    offered = arrival.alpn if arrival.tls else HTTP1 if arrival.is_http else ()
    chain = filter_chain(listener, "", arrival.port, arrival.tls, offered, "")
    if chain is None:
        return Outcome(listener=listener.name, refused=True)
    return _through(resources, listener, chain, Call("", arrival.port, is_http=arrival.is_http))


def _through(resources: ResourceSet, listener: Any, chain: Any, call: Call) -> Outcome:
    config = registry.unpack(chain.filters[-1].typed_config)
    terminates = chain.transport_socket.name == "envoy.transport_sockets.tls"
    place = {
        "listener": listener.name,
        "filter_chain": chain.name,
        "terminates_mtls": terminates,
        "chain_message": chain,
    }
    if config is None:
        raise ValueError(f"{chain.filters[-1].name} is not known to the simulator")
    if config.DESCRIPTOR.name == "TcpProxy":
        parts = config.weighted_clusters.clusters
        weights = {part.name: part.weight for part in parts} if parts else {config.cluster: 1}
        return _to_clusters(resources, weights, place)
    routes = config.route_config if config.HasField("route_config") else None
    if routes is None:
        routes = named(resources, ROUTE_TYPE, config.rds.route_config_name)
    if routes is None:
        return Outcome(**place, status=404)
    call = replace(call, path=normal_path(config, call.path))
    place |= {"route_config": routes.name, "routes_message": routes, "path": call.path}
    host = find_virtual_host(routes, call.host, call.port)
    route = find_route(host, call) if host is not None else None
    if host is not None and host.require_tls == host.ALL and not call.tls:
        return Outcome(**place, virtual_host=host.name, status=301, location=f"https://{call.host}{call.path}")
    if host is None or route is None:
        return Outcome(**place, virtual_host=host.name if host is not None else "", host_message=host, status=404)
    place |= {"virtual_host": host.name, "route": route.name, "message": route, "host_message": host}
    return _act(resources, route, place, call)


def _act(resources: ResourceSet, route: Any, place: dict[str, Any], call: Call) -> Outcome:
    if route.HasField("direct_response"):
        return Outcome(**place, status=route.direct_response.status)
    if route.HasField("redirect"):
        code = {0: 301, 1: 302, 2: 303, 3: 307, 4: 308}[route.redirect.response_code]
        return Outcome(**place, status=code, location=redirected(route, call.host, call.port, call.path, tls=call.tls))
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
    assignment = named(resources, ENDPOINT_TYPE, name)
    if assignment is None:
        assignment = named(resources, CLUSTER_TYPE, name).load_assignment
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
    found = address.socket_address
    return f"[{found.address}]:{found.port_value}" if ":" in found.address else f"{found.address}:{found.port_value}"
