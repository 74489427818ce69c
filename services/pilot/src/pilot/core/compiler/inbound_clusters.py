"""Clusters towards the application beside the proxy: `inbound|<target port>||`. Pure.

With captured traffic the original destination is dialled again, from a source that is not captured; with MeshConfig's
LOCALHOST policy the loopback address is. On the one-machine topology (no capture) the application has an address of
its own.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from envoy.config.cluster.v3 import cluster_pb2
from meshcore.model.destination_rule import ConnectionPoolSettings
from meshcore.model.mesh_config import InboundMode, MeshConfig
from meshcore.protocol import Protocol
from meshcore.xds.names import inbound_cluster
from meshcore.xds.origin import Origins
from meshcore.xds.types import CLUSTER_TYPE

from pilot.core.compiler.cache import Same
from pilot.core.compiler.cluster_policy import apply_connection_pool, apply_http_options, apply_load_balancer
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.inbound_ports import InboundPort, inbound_ports
from pilot.core.compiler.ingress_ports import UNIX, Ingress
from pilot.core.compiler.messages import provenance, socket_address, source_bind
from pilot.core.compiler.stat_prefix import inbound_stat_prefix
from pilot.core.ip_families import is_v6
from pilot.core.proxy import Interception, ProxyClass

_Type = cluster_pb2.Cluster
_FOR_EVER_SECONDS = 9_223_372_035
"""As long as Envoy's clock can count: destinations of one's own application never go stale."""


def inbound_clusters(work: Compilation) -> Iterator[Compiled]:
    """One cluster per port on which the workload serves."""
    for port in inbound_ports(work):
        rule = work.rule(port.service)
        pool = rule.policy_of(port.port.number).connection_pool
        owner = rule.makers() if pool is not None else ()
        sidecar = work.scope.sidecar
        if sidecar is not None and sidecar.object.spec.inbound_connection_pool is not None:
            pool, owner = sidecar.object.spec.inbound_connection_pool, (sidecar.ref,)
        if port.ingress is not None and port.ingress.pool is not None:
            pool, owner = port.ingress.pool, (port.service.ref,)
        place = _place(work, port)
        key = (CLUSTER_TYPE, port.key, Same(pool), Same(work.mesh), place)
        yield work.memo(key, partial(_build, port, pool, work.mesh, place, owner))


class _Place(NamedTuple):
    """Where the application is: an address (empty: the one that was dialled) and a port (0: likewise)."""

    address: str
    port: int
    sources: tuple[str, ...] = ()
    """Where connections come from that capture must not take for calls of the workload."""


def _place(work: Compilation, port: InboundPort) -> _Place:
    one, said = work.proxy_class, port.ingress or Ingress()
    sources = work.families.loop_sources
    if said.socket:
        return _Place(said.socket, 0)
    number = said.port or port.target
    if one.app_address:
        return _Place(one.app_address, number, () if one.app_address.startswith(UNIX) else sources)
    localhost = said.loopback or work.families.loopbacks[0]
    if one.interception is Interception.NONE:
        return _Place(_own_address(one, said) if said.on_own_address else localhost, number)
    if said.port and not said.on_own_address:
        return _Place(localhost, number)
    if work.mesh.inbound_traffic_policy.mode is InboundMode.LOCALHOST and not said.on_own_address:
        return _Place(localhost, number)
    return _Place("", said.port, sources)


def _own_address(one: ProxyClass, said: Ingress) -> str:
    """The instance's, of the family that was asked for if it has one."""
    return next((address for address in one.instance_ips if is_v6(address) is said.is_v6), one.instance_ips[0])


def _build(
    port: InboundPort, pool: ConnectionPoolSettings | None, mesh: MeshConfig, place: _Place, pool_owner: Origins
) -> Compiled:
    name = inbound_cluster(port.target)
    cluster = _Type(name=name, alt_stat_name=f"{inbound_stat_prefix(mesh, port) or name};")
    address = place.address
    if address:
        cluster.type = _Type.STATIC
        cluster.load_assignment.cluster_name = name
        host = cluster.load_assignment.endpoints.add().lb_endpoints.add()
        host.endpoint.address.CopyFrom(socket_address(address, place.port))
    else:
        cluster.type = _Type.ORIGINAL_DST
        cluster.cleanup_interval.seconds = _FOR_EVER_SECONDS
        if place.port:
            cluster.original_dst_lb_config.upstream_port_override.value = place.port
    if place.sources:
        cluster.upstream_bind_config.CopyFrom(source_bind(*place.sources))
    apply_connection_pool(cluster, mesh, pool)
    if address:
        cluster.lb_policy = _Type.ROUND_ROBIN
    else:
        apply_load_balancer(cluster, None)
    apply_http_options(cluster, port.protocol, pool, sniffs=port.protocol is Protocol.AUTO, upgrades=False)
    services = [{"host": item.host, "name": item.name, "namespace": item.namespace} for item in port.services]
    made = provenance(extra={"services": services})
    if made is not None:
        cluster.metadata.CopyFrom(made)
    origins = (*port.makers, *pool_owner)
    return packed(CLUSTER_TYPE, name, cluster, origins=origins)
