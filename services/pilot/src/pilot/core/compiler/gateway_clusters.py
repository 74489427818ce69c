"""Clusters of AUTO_PASSTHROUGH gateways: the bytes of mesh mTLS go on as they came, to endpoints that end it. Pure."""

from collections.abc import Iterable, Iterator
from functools import partial

from envoy.config.cluster.v3 import cluster_pb2
from meshcore.model.destination_rule import Subset
from meshcore.model.mesh_config import MeshConfig
from meshcore.protocol import Protocol
from meshcore.xds.names import cluster_sni
from meshcore.xds.origin import Origins
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE

from pilot.core.compiler.cache import Same
from pilot.core.compiler.cluster_policy import (
    apply_connection_pool,
    apply_load_balancer,
    apply_locality_weights,
    apply_outlier_detection,
)
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.endpoints import (
    accepts_mtls,
    crossing_key,
    crossing_of,
    load_assignment,
    place_of,
    placement_of,
    policies_of,
)
from pilot.core.compiler.gateway_chains import serves
from pilot.core.compiler.gateway_servers import GatewayServer, merged_servers
from pilot.core.compiler.messages import ads_source, source_bind
from pilot.core.registry import Port, Service
from pilot.core.visibility.destination_rules import PortPolicy


def gateway_clusters(work: Compilation) -> Iterator[Compiled]:
    """One cluster and assignment for each server name that such a server lets through."""
    servers = passing_servers(work)
    if servers:
        for service in work.scope.services:
            yield from passed_parts(work, servers, service)


def passing_servers(work: Compilation) -> tuple[GatewayServer, ...]:
    """The class's servers of that mode."""
    return tuple(server for server in merged_servers(work).servers if server.is_auto_passthrough)


def passed_parts(work: Compilation, servers: Iterable[GatewayServer], service: Service) -> Iterator[Compiled]:
    """Those of one service."""
    if not any(serves(work, server, service) for server in servers):
        return
    for port in service.ports:
        if port.protocol is not Protocol.UDP:
            for subset in (None, *work.rule(service).subsets):
                yield from _of(work, service, port, subset)


def _of(work: Compilation, service: Service, port: Port, subset: Subset | None) -> Iterator[Compiled]:
    rule, endpoints, mesh = work.rule(service), work.endpoints(service), work.mesh
    mtls = policies_of(work, service, endpoints)
    name = cluster_sni(port.number, subset.name if subset else "", service.host)
    policy = rule.policy_of(port.number, subset.name if subset else "", mesh)
    origins = (service.ref, *rule.makers(subset.name if subset else ""))
    where, source = placement_of(work, service, policy), work.proxy_class.bind_address
    yield work.memo(
        (CLUSTER_TYPE, name, Same(service), Same(rule), Same(mesh), source),
        partial(_cluster, name, service, policy, mesh, source, origins),
    )

    def assignment() -> Compiled:
        ending = tuple(item for item in endpoints if accepts_mtls(item, policy, service, mtls))
        made = load_assignment(name, ending, port, subset, service, policy, where, mtls, crossing_of(work))
        return packed(ENDPOINT_TYPE, name, made, beside=origins)

    key = (ENDPOINT_TYPE, name, Same(service), Same(rule), Same(endpoints), where, *crossing_key(work))
    yield work.memo((*key, tuple(map(Same, mtls.values()))), assignment)


def _cluster(
    name: str, service: Service, policy: PortPolicy, mesh: MeshConfig, source: str, origins: Origins
) -> Compiled:
    cluster = cluster_pb2.Cluster(name=name, alt_stat_name=f"{name};", type=cluster_pb2.Cluster.EDS)
    cluster.eds_cluster_config.eds_config.CopyFrom(ads_source())
    cluster.eds_cluster_config.service_name = name
    cluster.common_lb_config.healthy_panic_threshold.value = 0.0
    apply_connection_pool(cluster, mesh, policy.connection_pool, policy.retry_budget)
    apply_load_balancer(cluster, policy.load_balancer)
    apply_locality_weights(cluster, place_of(service, policy, mesh), policy.outlier_detection)
    apply_outlier_detection(cluster, policy.outlier_detection)
    if source:
        cluster.upstream_bind_config.CopyFrom(source_bind(source))
    return packed(CLUSTER_TYPE, name, cluster, origins=origins)
