"""Outbound listeners: `virtualOutbound` and what it hands over to, and the HTTP proxy. Names and conflicts are Istio's.
Pure.

HTTP ports share one listener per number; other ports have one per virtual address. Nothing but the HTTP proxy is bound
where traffic is not captured.
"""

from collections.abc import Iterable, Iterator
from functools import partial

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from meshcore.model.mesh_config import MeshConfig
from meshcore.xds.names import (
    ALLOW_ANY_DYNAMIC_DNS_CLUSTER,
    BLACK_HOLE_CLUSTER,
    HTTP_PROXY_ROUTE,
    VIRTUAL_OUTBOUND,
    listener_name,
)
from meshcore.xds.origin import Origins
from meshcore.xds.types import LISTENER_TYPE

from pilot.core.compiler.address_families import Addresses, Families, listen_on
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.dynamic_dns import has_dynamic
from pilot.core.compiler.egress_listeners import egress_plan
from pilot.core.compiler.http_connection_manager import Outbound, outbound_manager
from pilot.core.compiler.listener_filters import http_inspector, original_dst, tls_inspector
from pilot.core.compiler.messages import cidr_range, duration, provenance, uint32
from pilot.core.compiler.outbound_plan import Planned, plan
from pilot.core.compiler.persistent_sessions import has_sessions
from pilot.core.compiler.routes import unknown_routes
from pilot.core.compiler.tcp_proxy import tcp_proxy
from pilot.core.compiler.tcp_routes import TcpTarget
from pilot.core.compiler.tls import PLAIN_HTTP_ALPN
from pilot.core.proxy import Interception, ProxyType

Chain = listener_components_pb2.FilterChain


def outbound_listeners(work: Compilation) -> Iterator[Compiled]:
    """The listeners by which a workload calls others."""
    one, mesh = work.proxy_class, work.mesh
    if one.type is not ProxyType.SIDECAR:
        return
    captured = one.interception is not Interception.NONE
    families, sessions = work.families, has_sessions(work)
    unknown = work.scope.unknown_bytes
    for item in egress_plan(work).listeners:
        rest = BLACK_HOLE_CLUSTER if item.is_bound else unknown
        made = (LISTENER_TYPE, item, rest, families, sessions, Same(mesh))
        yield work.memo(made, partial(_listener, item, mesh, families, unknown=rest, sessions=sessions))
    if captured:
        for item in plan(work).listeners:
            key = (LISTENER_TYPE, item, unknown, families, sessions, Same(mesh))
            yield work.memo(key, partial(_listener, item, mesh, families, unknown=unknown, sessions=sessions))
        transparent = one.interception is Interception.TPROXY
        known = tuple(sorted({item.port for item in plan(work).listeners})) if work.scope.looks_up_any else None
        yield work.memo(
            (LISTENER_TYPE, VIRTUAL_OUTBOUND, transparent, unknown, families, known, Same(mesh)),
            lambda: _virtual_outbound(
                mesh, families, work.mesh_origins, known, unknown=unknown, transparent=transparent
            ),
        )
    port = one.http_proxy_port or mesh.proxy_http_port
    if port:
        addresses = (one.bind_address,) if one.bind_address else families.loopbacks
        dynamic = has_dynamic(work)
        yield work.memo(
            (LISTENER_TYPE, HTTP_PROXY_ROUTE, addresses, port, dynamic, families, sessions, Same(mesh)),
            lambda: _http_proxy(addresses, port, mesh, families, work.mesh_origins, dynamic=dynamic, sessions=sessions),
        )


def route_names(work: Compilation) -> Iterable[str]:
    """The route configurations that the outbound listeners ask for."""
    one, mesh = work.proxy_class, work.mesh
    if one.type is not ProxyType.SIDECAR:
        return
    planned = egress_plan(work).listeners
    if one.interception is not Interception.NONE:
        planned += plan(work).listeners
    yield from (item.route_name for item in planned if item.route_name)
    if one.http_proxy_port or mesh.proxy_http_port:
        yield HTTP_PROXY_ROUTE


def _listener(item: Planned, mesh: MeshConfig, families: Families, *, unknown: str, sessions: bool) -> Compiled:
    name = listener_name(item.bind, item.port) if item.port else item.bind
    listener = _outbound(name, (item.bind, *item.also), item.port)
    if not item.is_bound:
        listener.bind_to_port.value = False
    chains = []
    only_http = item.is_bound and not item.targets
    if item.route_name:
        manager = Outbound(
            f"outbound_{name};",
            item.route_name,
            is_forward_proxy=item.route_name == HTTP_PROXY_ROUTE,
            sniffs=item.sniffs_service,
            grpc_web=item.grpc_web,
            dynamic_dns=item.dynamic_dns,
            sessions=sessions,
            families=families,
        )
        chain = Chain(filters=[outbound_manager(manager, mesh)])
        if not only_http:
            chain.filter_chain_match.transport_protocol = "raw_buffer"
            chain.filter_chain_match.application_protocols.extend(PLAIN_HTTP_ALPN)
        chains.append(chain)
    chains += [tcp_chain(target, mesh) for target in item.targets]
    open_ended = [chain for chain in chains if not chain.filter_chain_match.ByteSize()]
    listener.filter_chains.extend(chain for chain in chains if chain.filter_chain_match.ByteSize())
    if open_ended and len(chains) == 1:
        open_ended[0].ClearField("filter_chain_match")
        listener.filter_chains.append(open_ended[0])
    elif open_ended:
        open_ended[0].ClearField("filter_chain_match")
        listener.default_filter_chain.CopyFrom(open_ended[0])
    else:
        listener.default_filter_chain.CopyFrom(_rest(mesh, unknown))
    if any(chain.filter_chain_match.server_names for chain in chains):
        listener.listener_filters.append(tls_inspector())
    if item.route_name and not only_http:
        listener.listener_filters.append(http_inspector())
        listener.listener_filters_timeout.CopyFrom(duration(mesh.protocol_detection_timeout))
    else:
        listener.listener_filters_timeout.SetInParent()
    listener.continue_on_listener_filters_timeout = True
    origins = tuple(origin for target in item.targets for origin in target.origins)
    return packed(LISTENER_TYPE, name, listener, origins=origins, beside=() if origins else item.makers)


def tcp_chain(target: TcpTarget, mesh: MeshConfig) -> listener_components_pb2.FilterChain:
    """A chain for connections of bytes: networks and server names that it matches, and where they go."""
    chain = Chain(filters=target.filters(mesh))
    for subnet in target.subnets:
        chain.filter_chain_match.prefix_ranges.append(cidr_range(subnet))
    if target.server_names:
        chain.filter_chain_match.server_names.extend(target.server_names)
    made = provenance(target.config, origins=tuple(origin.unversioned for origin in target.origins))
    if made is not None:
        chain.metadata.CopyFrom(made)
    return chain


def _rest(mesh: MeshConfig, unknown: str) -> listener_components_pb2.FilterChain:
    return Chain(name="PassthroughFilterChain", filters=[tcp_proxy(unknown, mesh)])


def _virtual_outbound(
    mesh: MeshConfig,
    families: Families,
    origins: Origins,
    known_ports: tuple[int, ...] | None,
    *,
    unknown: str,
    transparent: bool,
) -> Compiled:
    """Takes what has no listener; with `known_ports` HTTP to other ports goes where its host leads."""
    listener = _outbound(VIRTUAL_OUTBOUND, families.wildcards, mesh.proxy_listen_port)
    listener.use_original_dst.value = True
    if transparent:
        listener.transparent.value = True
    hole = listener.filter_chains.add(name=f"{VIRTUAL_OUTBOUND}-blackhole")
    hole.filter_chain_match.destination_port.value = mesh.proxy_listen_port
    hole.filters.append(tcp_proxy(BLACK_HOLE_CLUSTER, mesh))
    if known_ports is not None:
        _look_up_http(listener, mesh, families, known_ports)
    rest = listener.filter_chains.add(name=f"{VIRTUAL_OUTBOUND}-catchall-tcp")
    rest.filters.append(tcp_proxy(unknown, mesh))
    return packed(LISTENER_TYPE, VIRTUAL_OUTBOUND, listener, beside=origins)


def _look_up_http(
    listener: listener_pb2.Listener, mesh: MeshConfig, families: Families, known_ports: tuple[int, ...]
) -> None:
    """Ports that have listeners look for HTTP themselves, where there may be any: their servers may speak first."""
    name = f"{VIRTUAL_OUTBOUND}-catchall-tcp-http"
    routes = unknown_routes(ALLOW_ANY_DYNAMIC_DNS_CLUSTER)
    prefix = f"outbound_{VIRTUAL_OUTBOUND}_{routes.name};"
    manager = Outbound(prefix, routes.name, dynamic_dns=True, families=families, routes=routes)
    chain = listener.filter_chains.add(name=name, filters=[outbound_manager(manager, mesh)])
    chain.filter_chain_match.application_protocols.extend(PLAIN_HTTP_ALPN)
    # the listener's own look for the address that was dialled comes after all of its filters
    listener.listener_filters.extend([original_dst(), http_inspector(except_ports=known_ports)])
    listener.continue_on_listener_filters_timeout = True
    if mesh.protocol_detection_timeout:
        listener.listener_filters_timeout.CopyFrom(duration(mesh.protocol_detection_timeout))


def _http_proxy(
    addresses: Addresses,
    port: int,
    mesh: MeshConfig,
    families: Families,
    origins: Origins,
    *,
    dynamic: bool,
    sessions: bool,
) -> Compiled:
    name = listener_name(addresses[0], port)
    listener = _outbound(name, addresses, port)
    manager = Outbound(
        f"outbound_{name};",
        HTTP_PROXY_ROUTE,
        is_forward_proxy=True,
        dynamic_dns=dynamic,
        sessions=sessions,
        families=families,
    )
    listener.filter_chains.add(filters=[outbound_manager(manager, mesh)])
    return packed(LISTENER_TYPE, name, listener, beside=origins)


def _outbound(name: str, addresses: Addresses, port: int) -> listener_pb2.Listener:
    made = listener_pb2.Listener(
        name=name,
        traffic_direction=base_pb2.TrafficDirection.OUTBOUND,
        max_connections_to_accept_per_socket_event=uint32(1),
    )
    listen_on(made, addresses, port)
    return made
