"""Listeners of gateways: one per bound address, with a chain for plain HTTP, or one for each server of TLS. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import NamedTuple

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from google.protobuf import duration_pb2
from meshcore.model.mesh_config import MeshConfig
from meshcore.protocol import Protocol
from meshcore.xds.names import listener_name
from meshcore.xds.types import LISTENER_TYPE

from pilot.core.compiler.address_families import Families, listen_on
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.dynamic_dns import has_dynamic
from pilot.core.compiler.gateway_chains import passed_through, tcp_target
from pilot.core.compiler.gateway_routes import routes_of
from pilot.core.compiler.gateway_servers import Family, GatewayListener, GatewayServer, merged_servers
from pilot.core.compiler.gateway_tls import gateway_socket
from pilot.core.compiler.http_connection_manager import Edge, edge_manager
from pilot.core.compiler.listener_filters import proxy_protocol, tls_inspector
from pilot.core.compiler.listeners_outbound import tcp_chain
from pilot.core.compiler.messages import provenance, uint32
from pilot.core.compiler.persistent_sessions import has_sessions
from pilot.core.compiler.sds import secrets_of_server
from pilot.core.compiler.tcp_routes import server_names
from pilot.core.diagnostics import Diagnostic
from pilot.core.proxy import GatewayTopology, ProxyClass

Chain = listener_components_pb2.FilterChain
_HANDSHAKE = duration_pb2.Duration(seconds=15)


def gateway_listeners(work: Compilation) -> Iterator[Compiled]:
    """All that a gateway binds; an address for whose servers nothing is configured is not bound."""
    scope, one, mesh = work.scope, work.proxy_class, work.mesh
    topology = topology_of(one, mesh)
    before = _Before(topology, has_dynamic(work), has_sessions(work), work.families)
    for item in merged_servers(work).listeners:
        key: tuple[object, ...] = (LISTENER_TYPE, Same(item), Same(mesh), before)
        if item.family is not Family.HTTP:
            bound = tuple(Same(config) for server in item.servers for config in routes_of(work, server))
            key += (one.domain, one.labels, work.rules_key, Same(scope.services), bound)
        made = work.memo(key, partial(_listener, work, item, before))
        if made is not None:
            yield made


class _Before(NamedTuple):
    """What of the class and the mesh all its HTTP servers depend on."""

    topology: GatewayTopology
    dynamic_dns: bool
    sessions: bool
    families: Families


def topology_of(one: ProxyClass, mesh: MeshConfig) -> GatewayTopology:
    """What stands before the gateway: the proxy's own word, else MeshConfig's."""
    general = mesh.default_config.gateway_topology
    if one.topology is not None or general is None:
        return one.topology or GatewayTopology()
    forward = general.forward_client_cert_details.value
    return GatewayTopology(general.num_trusted_proxies, forward, general.proxy_protocol is not None)


def _listener(work: Compilation, item: GatewayListener, before: _Before) -> Compiled | None:
    name = listener_name(item.bind, item.port)
    problems: list[Diagnostic] = []
    listener = listener_pb2.Listener(
        name=name,
        traffic_direction=base_pb2.TrafficDirection.OUTBOUND,
        max_connections_to_accept_per_socket_event=uint32(1),
    )
    listen_on(listener, (item.bind, *item.also), item.port)
    if before.topology.proxy_protocol:
        listener.listener_filters.append(proxy_protocol())
    if item.family is Family.HTTP:
        manager = _manager(name, item.servers, before, work.mesh)
        listener.filter_chains.add(filters=[manager])
    elif item.family is Family.TCP:
        target = tcp_target(work, item.servers[0], problems)
        if target is not None:
            listener.filter_chains.append(tcp_chain(target, work.mesh))
    else:
        listener.listener_filters.append(tls_inspector())
        listener.filter_chains.extend(_distinct(_tls_chains(work, name, item, before, problems), problems))
    if not listener.filter_chains:
        return None
    origins = tuple(server.config.ref for server in item.servers)
    made = packed(LISTENER_TYPE, name, listener, tuple(dict.fromkeys(problems)), origins)
    asked = [secret for server in item.servers for secret in _secrets(server)] if item.family is Family.TLS else []
    return replace(made, secrets=tuple(asked))


def _secrets(server: GatewayServer) -> tuple[str, ...]:
    return secrets_of_server(server.server.tls) if server.server.tls is not None else ()


Labelled = tuple[GatewayServer, listener_components_pb2.FilterChain]


def _tls_chains(
    work: Compilation, name: str, item: GatewayListener, before: _Before, problems: list[Diagnostic]
) -> Iterator[Labelled]:
    mesh = work.mesh
    for server in item.servers:
        if server.server.passes_through:
            for found in passed_through(work, server, problems):
                chain = tcp_chain(found.target, mesh)
                chain.filter_chain_match.application_protocols.extend(found.alpn)
                yield server, chain
            continue
        if server.server.is_http:
            chain = Chain(filters=[_manager(name, (server,), before, mesh)])
            chain.metadata.CopyFrom(provenance(server.config.path, origins=(server.config.ref.unversioned,)))
        else:
            target = tcp_target(work, server, problems)
            if target is None:
                continue
            chain = tcp_chain(target, mesh)
        chain.filter_chain_match.server_names.extend(server_names(server.names()))
        chain.transport_socket.CopyFrom(gateway_socket(server.server, mesh))
        chain.transport_socket_connect_timeout.CopyFrom(_HANDSHAKE)
        yield server, chain


def _manager(
    name: str, servers: Iterable[GatewayServer], before: _Before, mesh: MeshConfig
) -> listener_components_pb2.Filter:
    servers = tuple(servers)
    grpc_web = any(server.server.protocol is Protocol.GRPC_WEB for server in servers)
    return edge_manager(Edge(f"outbound_{name};", servers[0].route_name, grpc_web=grpc_web, **before._asdict()), mesh)


def _distinct(chains: Iterable[Labelled], problems: list[Diagnostic]) -> Iterator[listener_components_pb2.FilterChain]:
    """Envoy refuses a listener in which two chains match the same: what is taken is left out."""
    taken: set[tuple[str, str, tuple[str, ...]]] = set()
    for server, chain in chains:
        match = chain.filter_chain_match
        subnets = [f"{item.address_prefix}/{item.prefix_len.value}" for item in match.prefix_ranges] or [""]
        alpn = tuple(match.application_protocols)
        wanted = list(match.server_names) or [""]
        free = [name for name in wanted if not any((subnet, name, alpn) in taken for subnet in subnets)]
        if len(free) < len(wanted):
            lost = ", ".join(name or "any name" for name in wanted if name not in free)
            text = f"Connections for {lost} on port {server.port} go where an older rule sends them."
            problems.append(Diagnostic("gateway-server-name-taken", server.config.path, text))
        if not free:
            continue
        taken.update(product(subnets, free, [alpn]))
        del match.server_names[:]
        match.server_names.extend(filter(None, free))
        if not match.ByteSize():
            chain.ClearField("filter_chain_match")
        yield chain
