"""Clusters: one per service port and subset that a proxy may call, and the catch-alls. Names and defaults are Istio's.
Pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from google.protobuf import duration_pb2
from meshcore.model.destination_rule import Subset, TlsMode
from meshcore.model.mesh_config import DefaultH2Upgrade, MeshConfig
from meshcore.model.peer_authentication import MtlsMode
from meshcore.protocol import Protocol
from meshcore.xds.names import (
    cluster_sni,
    outbound_cluster,
)
from meshcore.xds.origin import Origins
from meshcore.xds.types import CLUSTER_TYPE

from pilot.core.compiler import tls
from pilot.core.compiler.address_families import Families
from pilot.core.compiler.cache import Same
from pilot.core.compiler.cluster_policy import (
    apply_connection_pool,
    apply_http_options,
    apply_load_balancer,
    apply_locality_weights,
    apply_outlier_detection,
)
from pilot.core.compiler.context import Compilation, Compiled, accounts_of, packed
from pilot.core.compiler.discovery_type import is_eds, is_passed_through
from pilot.core.compiler.dynamic_dns import apply_dynamic, cares_resolver, is_dynamic
from pilot.core.compiler.endpoints import load_assignment, place_of, placement_of
from pilot.core.compiler.messages import ads_source, duration, provenance, struct, uint32
from pilot.core.compiler.persistent_sessions import let_sessions_choose
from pilot.core.compiler.priorities import Placement
from pilot.core.compiler.sds import secrets_of_client
from pilot.core.compiler.stat_prefix import outbound_stat_prefix
from pilot.core.diagnostics import Diagnostic
from pilot.core.proxy import Interception, ProxyType
from pilot.core.registry import Endpoint, Port, Resolution, Service
from pilot.core.registry.endpoint import ISTIO_TLS
from pilot.core.visibility.destination_rules import PortPolicy, ServiceRule

MUTUAL_MATCH = "tlsMode-istio"
"""The choice of endpoints that take mesh mTLS."""
_Type = cluster_pb2.Cluster


class _Traits(NamedTuple):
    """What of the class an outbound cluster depends on, but for the address that it calls from (`own_sources`)."""

    type: ProxyType
    sniffs: bool
    placement: Placement
    families: Families


class _Target(NamedTuple):
    service: Service
    port: Port
    subset: Subset | None
    rule: ServiceRule


def outbound_clusters(work: Compilation, service: Service) -> Iterator[Compiled]:
    """One cluster per port of a service, and per subset of its rule."""
    if service.resolution is Resolution.ALIAS:
        return
    rule = work.rule(service)
    dynamic = service.resolution is Resolution.DYNAMIC_DNS
    for port in service.ports:
        if port.protocol is not Protocol.UDP and (not dynamic or is_dynamic(service, port)):
            for subset in (None,) if dynamic else (None, *rule.subsets):
                made = _outbound(work, _Target(service, port, subset, rule))
                if made is not None:
                    yield made


def _outbound(work: Compilation, target: _Target) -> Compiled | None:
    service, port, subset, rule = target
    one, mesh = work.proxy_class, work.mesh
    endpoints = work.endpoints(service)
    by_name = service.resolution in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)
    policies = work.mtls(service.namespace)
    mode = policies.namespace_mode if mesh.enable_auto_mtls else MtlsMode.DISABLE
    decider = policies.decider(None) if mesh.enable_auto_mtls and mode is MtlsMode.DISABLE else ()
    policy = rule.policy_of(port.number, subset.name if subset else "", mesh)
    traits = _Traits(
        one.type,
        one.interception is not Interception.NONE and one.type is not ProxyType.ROUTER,
        placement_of(work, service, policy) if by_name else Placement(),
        work.families,
    )
    accounts = accounts_of(endpoints)
    dynamic = is_dynamic(service, port)
    original = (not is_eds(one, service) and not by_name and not dynamic) or is_passed_through(policy)
    all_mutual = original and bool(endpoints) and all(item.tls_mode == ISTIO_TLS for item in endpoints)
    mutual = mode is not MtlsMode.DISABLE and not service.external and not dynamic and (all_mutual or not original)
    key = (
        CLUSTER_TYPE,
        Same(service),
        port,
        subset.name if subset else "",
        Same(rule),
        Same(mesh),
        traits,
        original,
        mutual,
        accounts,
        Same(endpoints) if by_name else None,
        decider,
    )
    return work.memo(key, lambda: _build(target, policy, mesh, traits, original, mutual, endpoints, decider))


def _build(
    target: _Target,
    policy: PortPolicy,
    mesh: MeshConfig,
    traits: _Traits,
    original: bool,
    mutual: bool,
    endpoints: tuple[Endpoint, ...],
    mtls_decider: Origins,
) -> Compiled | None:
    service, port, subset, rule = target
    name = outbound_cluster(port.number, subset.name if subset else "", service.host)
    spoken = outbound_stat_prefix(mesh, service, port, subset.name if subset else "") or name
    cluster = _Type(name=name, alt_stat_name=f"{spoken};")
    problems: list[Diagnostic] = []
    if is_dynamic(service, port):
        apply_dynamic(cluster, mesh, traits.families)
    elif original:
        cluster.type = _Type.ORIGINAL_DST
        if isinstance(port.target, int) and port.target not in (0, port.number):
            cluster.original_dst_lb_config.upstream_port_override.CopyFrom(uint32(port.target))
    elif service.resolution in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN):
        assignment = load_assignment(name, endpoints, port, subset, service, policy, traits.placement)
        if not assignment.endpoints:
            return None  # Envoy would resolve nothing for ever
        _resolve_by_dns(cluster, service, mesh, traits.families)
        problems += _keep_one_name(assignment, service) if cluster.type == _Type.LOGICAL_DNS else []
        cluster.load_assignment.CopyFrom(assignment)
    else:
        cluster.type = _Type.EDS
        cluster.eds_cluster_config.eds_config.CopyFrom(ads_source())
        cluster.eds_cluster_config.service_name = name
        # Endpoints known to be unhealthy are sent too, and never used while others are away.
        cluster.common_lb_config.healthy_panic_threshold.value = 0.0
    let_sessions_choose(cluster, service)
    apply_connection_pool(cluster, mesh, policy.connection_pool, policy.retry_budget)
    apply_load_balancer(cluster, policy.load_balancer)
    apply_locality_weights(cluster, place_of(service, policy, mesh), policy.outlier_detection)
    apply_outlier_detection(cluster, policy.outlier_detection)
    problems += _apply_tls(cluster, target, policy, mesh, mutual, endpoints, traits)
    asks_for_tls = policy.tls is not None and policy.tls.mode in (TlsMode.SIMPLE, TlsMode.MUTUAL)
    auto_sni = policy.tls is not None and asks_for_tls and not policy.tls.sni
    names = service.subject_alt_names or (policy.tls.subject_alt_names if policy.tls is not None else ())
    apply_http_options(
        cluster,
        port.protocol,
        policy.connection_pool,
        sniffs=traits.sniffs,
        auto_sni=auto_sni,
        # Without names to expect the certificate has to be the called host's, not just any of the root's.
        auto_san=auto_sni and not names and policy.tls is not None and not policy.tls.insecure_skip_verify,
        mesh_upgrades=mesh.h2_upgrade_policy is DefaultH2Upgrade.UPGRADE,
    )
    if policy.proxy_protocol is not None:
        tls.announce_caller(cluster, policy.proxy_protocol.version)
    _describe(cluster, service, subset, rule, alpn_is_fixed=asks_for_tls)
    origins = (service.ref, *rule.makers(subset.name if subset else ""), *mtls_decider)
    made = packed(CLUSTER_TYPE, name, cluster, (*rule.diagnostics, *problems), origins)
    if policy.tls is None or not asks_for_tls or not _may_have_credentials(rule, traits):
        return made
    return replace(made, secrets=secrets_of_client(policy.tls))


def _may_have_credentials(rule: ServiceRule, traits: _Traits) -> bool:
    """A sidecar only by a rule that selects workloads: otherwise every workload of the namespace would have them."""
    selecting = any(config.object.spec.workload_selector is not None for config in rule.configs)
    return traits.type is ProxyType.ROUTER or selecting


def _resolve_by_dns(cluster: cluster_pb2.Cluster, service: Service, mesh: MeshConfig, families: Families) -> None:
    strict = service.resolution is Resolution.DNS and not service.races_addresses
    cluster.type = _Type.STRICT_DNS if strict else _Type.LOGICAL_DNS
    cluster.dns_lookup_family = _Type.ALL if service.races_addresses else families.lookup
    cluster.dns_refresh_rate.CopyFrom(duration(mesh.dns_refresh_rate))
    cluster.dns_jitter.CopyFrom(duration_pb2.Duration(nanos=100_000_000))
    cluster.respect_dns_ttl = True
    cluster.typed_dns_resolver_config.CopyFrom(cares_resolver())


def _keep_one_name(assignment: endpoint_pb2.ClusterLoadAssignment, service: Service) -> list[Diagnostic]:
    """Envoy follows one name per LOGICAL_DNS cluster."""
    if sum(len(group.lb_endpoints) for group in assignment.endpoints) == 1:
        return []
    del assignment.endpoints[1:]
    del assignment.endpoints[0].lb_endpoints[1:]
    text = f"Of the endpoints of {service.host} only the first is used: DNS_ROUND_ROBIN resolves one name."
    return [Diagnostic("several-dns-names", service.path, text)]


def _apply_tls(
    cluster: cluster_pb2.Cluster,
    target: _Target,
    policy: PortPolicy,
    mesh: MeshConfig,
    mutual: bool,
    endpoints: tuple[Endpoint, ...],
    traits: _Traits,
) -> list[Diagnostic]:
    """TLS as the rule says; else mesh mTLS wherever the endpoint accepts it (auto mTLS)."""
    service, port, subset, rule = target
    settings = policy.tls
    sni = cluster_sni(port.number, subset.name if subset else "", service.host)
    alpn: tuple[str, ...] = tls.ISTIO_H2_ALPN if port.protocol.is_http2 else tls.ISTIO_ALPN
    if port.protocol is Protocol.AUTO and not traits.sniffs:
        alpn = tls.ISTIO_SNIFFED_ALPN
    sans = tls.spiffe_uris(mesh, accounts_of(endpoints))
    if settings is None:
        if not mutual:
            return []
        socket = tls.mutual_socket(sans, sni, alpn)
        if cluster.type == _Type.ORIGINAL_DST:
            cluster.transport_socket.CopyFrom(socket)
            return []
        matches = cluster.transport_socket_matches
        matches.add(name=MUTUAL_MATCH, match=struct({"tlsMode": ISTIO_TLS}), transport_socket=socket)
        matches.add(name="tlsMode-disabled", match=struct({}), transport_socket=tls.raw_socket())
        return []
    if settings.mode is TlsMode.DISABLE:
        return []
    if settings.mode is TlsMode.ISTIO_MUTUAL:
        socket = tls.mutual_socket(settings.subject_alt_names or sans, settings.sni or sni, alpn)
        cluster.transport_socket.CopyFrom(socket)
        return []
    if settings.credential_name and not _may_have_credentials(rule, traits):
        config = rule.configs[0].path if rule.configs else ""
        text = f"TLS to {service.host} is not originated: credentialName on a sidecar needs a workloadSelector."
        return [Diagnostic("credential-without-selector", config, text)]
    cluster.transport_socket.CopyFrom(
        tls.configured_socket(settings, service.subject_alt_names, mesh, is_http2=port.protocol.is_http2)
    )
    return []


def _describe(
    cluster: cluster_pb2.Cluster, service: Service, subset: Subset | None, rule: ServiceRule, *, alpn_is_fixed: bool
) -> None:
    extra: dict[str, object] = {
        "services": [{"host": service.host, "name": service.name, "namespace": service.namespace}]
    }
    if subset is not None:
        extra["subset"] = subset.name
    if service.external:
        extra["external"] = True
    if alpn_is_fixed:
        extra["alpn_override"] = "false"
    config = rule.configs[0] if rule.configs else None
    made = provenance(config.path if config else "", extra)
    if made is not None:
        cluster.metadata.CopyFrom(made)
