"""Inbound listeners: `virtualInbound` where traffic is captured, one listener per port on the one-machine topology.
Pure."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.peer_authentication import MtlsMode
from meshcore.model.sidecar import ServerTlsSettings
from meshcore.protocol import Protocol
from meshcore.xds.names import (
    BLACK_HOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    VIRTUAL_INBOUND,
    inbound_cluster,
    listener_name,
)
from meshcore.xds.origin import Origins
from meshcore.xds.types import LISTENER_TYPE

from pilot.core.compiler.address_families import Addresses, listen_on
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.filter_chains import TLS, ChainShape, Family, chain_shapes, family_of, own_tls_shapes
from pilot.core.compiler.gateway_tls import server_socket
from pilot.core.compiler.http_connection_manager import Inbound, inbound_manager
from pilot.core.compiler.inbound_ports import InboundPort, inbound_ports
from pilot.core.compiler.inbound_routes import inbound_routes
from pilot.core.compiler.listener_filters import http_inspector, original_dst, original_src, tls_inspector
from pilot.core.compiler.messages import duration, provenance, uint32
from pilot.core.compiler.stat_prefix import inbound_stat_prefix
from pilot.core.compiler.tcp_proxy import mongo_proxy, tcp_proxy
from pilot.core.compiler.tls import downstream_socket
from pilot.core.proxy import Interception, ProxyType

Chain = listener_components_pb2.FilterChain


def inbound_listeners(work: Compilation) -> Iterator[Compiled]:
    """The listeners by which a workload is reached."""
    one, mesh = work.proxy_class, work.mesh
    if one.type is not ProxyType.SIDECAR:
        return
    ports = tuple((port, _mode(work, port.target)) for port in inbound_ports(work))
    policies = work.mtls(one.namespace)
    deciders = tuple(
        origin
        for number in (*(port.target for port, _ in ports), -1)
        for origin in policies.decider(one.label_map, number)
    )
    for port, mode in ports:
        if one.on_own_addresses or _is_bound(port):
            addresses = _addresses(work, port)
            decider = policies.decider(one.label_map, port.target)
            key = (LISTENER_TYPE, addresses, *_port_key(port, mode), decider, Same(mesh))
            yield work.memo(key, partial(_own_listener, addresses, port, mode, mesh, decider))
    if one.interception is not Interception.NONE:
        ports = tuple((port, mode) for port, mode in ports if not _is_bound(port))
        extra = tuple(
            (number, policies.mode(one.label_map, number))
            for number in policies.ports(one.label_map)
            if number not in {port.target for port, _ in ports}
        )
        general = _workload_mode(work)
        wildcards = work.families.wildcards
        key = (LISTENER_TYPE, VIRTUAL_INBOUND, one.interception, wildcards, general, extra, deciders, Same(mesh))
        key += tuple(part for port, mode in ports for part in _port_key(port, mode))
        yield work.memo(
            key,
            lambda: _virtual_inbound(
                one.interception, wildcards, ports, general, extra, mesh, deciders, work.mesh_origins
            ),
        )


def _mode(work: Compilation, port: int) -> MtlsMode:
    return work.mtls(work.proxy_class.namespace).mode(work.proxy_class.label_map, port)


def _workload_mode(work: Compilation) -> MtlsMode:
    return _mode(work, -1)


def _port_key(port: InboundPort, mode: MtlsMode) -> tuple[object, ...]:
    return mode, *port.key


def _addresses(work: Compilation, port: InboundPort) -> Addresses:
    """The one that the Sidecar names; else the instance's where nothing is captured, so that the application may have
    the port on the loopback address."""
    one, said = work.proxy_class, port.ingress.bind if port.ingress is not None else ""
    if said:
        return (said,)
    return one.instance_ips[:1] if one.interception is Interception.NONE else work.families.wildcards


def _own_tls(port: InboundPort, mode: MtlsMode) -> ServerTlsSettings | None:
    """What a Sidecar says of TLS counts only where no mesh TLS is taken."""
    return port.ingress.tls if port.ingress is not None and mode is MtlsMode.DISABLE else None


def _shapes(port: InboundPort, mode: MtlsMode) -> tuple[ChainShape, ...]:
    return own_tls_shapes(port.protocol) if _own_tls(port, mode) else chain_shapes(port.protocol, mode)


def _is_bound(port: InboundPort) -> bool:
    return port.ingress is not None and port.ingress.is_bound


def _own_listener(
    addresses: Addresses, port: InboundPort, mode: MtlsMode, mesh: MeshConfig, decider: Origins
) -> Compiled:
    """Bound, as a rule to the instance's address; the destination port needs no match, the socket is the port's own."""
    name = listener_name(addresses[0], port.target)
    shapes = _shapes(port, mode)
    listener = _listener(name, addresses, port.target)
    listener.listener_filters.extend(_inspectors(shapes))
    listener.filter_chains.extend(_service_chains(name, port, mode, mesh, match_port=False))
    _set_detection(listener, mesh)
    origins = (*port.makers, *decider)
    return packed(LISTENER_TYPE, name, listener, origins=origins)


def _virtual_inbound(
    interception: Interception,
    wildcards: Addresses,
    ports: Sequence[tuple[InboundPort, MtlsMode]],
    general: MtlsMode,
    extra: Iterable[tuple[int, MtlsMode]],
    mesh: MeshConfig,
    deciders: Origins,
    of_mesh: Origins,
) -> Compiled:
    listener = _listener(VIRTUAL_INBOUND, wildcards, mesh.proxy_inbound_listen_port)
    transparent = interception is Interception.TPROXY
    if transparent:
        listener.transparent.value = True
    hole = listener.filter_chains.add(name=f"{VIRTUAL_INBOUND}-blackhole")
    hole.filter_chain_match.destination_port.value = mesh.proxy_inbound_listen_port
    hole.filters.append(tcp_proxy(BLACK_HOLE_CLUSTER, mesh))
    listener.filter_chains.extend(_passthrough_chains(None, general, mesh))
    for number, mode in extra:
        listener.filter_chains.extend(_passthrough_chains(number, mode, mesh))
    for port, mode in ports:
        name = listener_name(wildcards[0], port.target)
        listener.filter_chains.extend(_service_chains(name, port, mode, mesh, match_port=True))
    listener.listener_filters.append(original_dst())
    if transparent:
        listener.listener_filters.append(original_src())
    listener.listener_filters.extend(_tls_inspectors(ports, general, extra))
    known = [port.target for port, _ in ports if family_of(port.protocol) is not Family.AUTO]
    listener.listener_filters.append(http_inspector(except_ports=known))
    listener.continue_on_listener_filters_timeout = True
    listener.listener_filters_timeout.CopyFrom(duration(mesh.protocol_detection_timeout))
    origins = (*(maker for port, _ in ports for maker in port.makers), *deciders)
    return packed(LISTENER_TYPE, VIRTUAL_INBOUND, listener, origins=origins, beside=() if origins else of_mesh)


def _listener(name: str, addresses: Addresses, port: int) -> listener_pb2.Listener:
    made = listener_pb2.Listener(
        name=name,
        traffic_direction=base_pb2.TrafficDirection.INBOUND,
        max_connections_to_accept_per_socket_event=uint32(1),
    )
    listen_on(made, addresses, port)
    return made


def _inspectors(shapes: Sequence[ChainShape]) -> list[listener_components_pb2.ListenerFilter]:
    found = [tls_inspector()] if _needs_tls(shapes) else []
    if any(shape.transport == "raw_buffer" and shape.alpn for shape in shapes):
        found.append(http_inspector())
    return found


def _needs_tls(shapes: Iterable[ChainShape]) -> bool:
    return any(shape.transport == TLS for shape in shapes)


def _tls_inspectors(
    ports: Sequence[tuple[InboundPort, MtlsMode]], general: MtlsMode, extra: Iterable[tuple[int, MtlsMode]]
) -> list[listener_components_pb2.ListenerFilter]:
    """Everywhere but on ports that need none, or, where other traffic needs none, on those that do."""
    asked = {number: _needs_tls(chain_shapes(Protocol.AUTO, mode)) for number, mode in extra}
    asked |= {port.target: _needs_tls(_shapes(port, mode)) for port, mode in ports}
    if _needs_tls(chain_shapes(Protocol.AUTO, general)):
        return [tls_inspector(except_ports=[number for number, needs in asked.items() if not needs])]
    needing = [number for number, needs in asked.items() if needs]
    return [tls_inspector(only_ports=needing)] if needing else []


def _set_detection(listener: listener_pb2.Listener, mesh: MeshConfig) -> None:
    listener.continue_on_listener_filters_timeout = True
    listener.listener_filters_timeout.CopyFrom(duration(mesh.protocol_detection_timeout))


def _service_chains(
    name: str, port: InboundPort, mode: MtlsMode, mesh: MeshConfig, *, match_port: bool
) -> Iterator[listener_components_pb2.FilterChain]:
    cluster = inbound_cluster(port.target)
    host, retries = port.service.host, mesh.default_inbound_http_retry_policy
    own_tls = _own_tls(port, mode)
    for shape in _shapes(port, mode):
        chain = Chain(name=name, filter_chain_match=shape.match(port.target if match_port else None))
        if shape.is_http:
            routes = inbound_routes(
                cluster, f"inbound|http|{port.port.number}", f"{host}:{port.port.number}/*", port.protocol, retries
            )
            options = Inbound(f"inbound_{name};", routes, grpc_web=port.protocol is Protocol.GRPC_WEB)
            chain.filters.append(inbound_manager(options, mesh))
        else:
            prefix = inbound_stat_prefix(mesh, port)
            chain.filters.extend([mongo_proxy(prefix or cluster)] if port.protocol is Protocol.MONGO else [])
            chain.filters.append(tcp_proxy(cluster, mesh, prefix))
        if shape.terminates:
            chain.transport_socket.CopyFrom(server_socket(own_tls, mesh) if own_tls else downstream_socket(mesh))
        services = [{"host": item.host, "name": item.name, "namespace": item.namespace} for item in port.services]
        made = provenance(extra={"services": services}, origins=tuple(item.unversioned for item in port.makers))
        if made is not None:
            chain.metadata.CopyFrom(made)
        yield chain


def _passthrough_chains(
    port: int | None, mode: MtlsMode, mesh: MeshConfig
) -> Iterator[listener_components_pb2.FilterChain]:
    """For traffic to ports that no service names: to where it was going, under the workload's mTLS mode."""
    cluster = INBOUND_PASSTHROUGH_CLUSTER
    for shape in chain_shapes(Protocol.AUTO, mode):
        name = f"{VIRTUAL_INBOUND}-catchall-http" if shape.is_http else VIRTUAL_INBOUND
        chain = Chain(name=name, filter_chain_match=shape.match(port))
        if shape.is_http:
            routes = inbound_routes(
                cluster, f"inbound|http|{port or 0}", ":0/*", Protocol.AUTO, mesh.default_inbound_http_retry_policy
            )
            chain.filters.append(inbound_manager(Inbound(f"{cluster};", routes), mesh))
        else:
            chain.filters.append(tcp_proxy(cluster, mesh))
        if shape.terminates:
            chain.transport_socket.CopyFrom(downstream_socket(mesh))
        yield chain
