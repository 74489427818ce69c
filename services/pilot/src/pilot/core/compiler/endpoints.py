"""Endpoints of EDS clusters: addresses by locality, with what the transport socket and the logs want to know of each.
Pure."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import ip_address

from envoy.config.core.v3 import health_check_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from meshcore.labels import selects
from meshcore.model.destination_rule import Subset, TlsMode
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.peer_authentication import MtlsMode
from meshcore.protocol import Protocol
from meshcore.workload_names import canonical_name, canonical_revision
from meshcore.xds.names import outbound_cluster
from meshcore.xds.origin import distinct
from meshcore.xds.types import ENDPOINT_TYPE

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.discovery_type import is_eds, is_passed_through
from pilot.core.compiler.messages import authority, socket_address
from pilot.core.compiler.peer_names import PEER, names_of_endpoint
from pilot.core.compiler.priorities import (
    Group,
    Placement,
    PlaceSetting,
    distributed,
    group_of,
    place_setting,
    placement,
    priorities,
)
from pilot.core.networks import DIRECT, Crossing, through_gateways
from pilot.core.peer_authentication import NamespaceMtls
from pilot.core.registry import Endpoint, Port, Service
from pilot.core.registry.endpoint import HOST_LABEL, ISTIO_TLS, PLACE_LABELS
from pilot.core.visibility.destination_rules import PortPolicy, ServiceRule

_SOCKET_MATCH = "envoy.transport_socket_match"
_LARGEST_SUM = 2**32 - 1


def endpoint_resources(work: Compilation, service: Service) -> Iterator[Compiled]:
    """One assignment per EDS cluster of a service, empty where nothing is known, so that the cluster can warm."""
    if not is_eds(work.proxy_class, service):
        return
    rule = work.rule(service)
    endpoints = work.endpoints(service)
    mtls = policies_of(work, service, endpoints)
    for port in service.ports:
        if port.protocol is Protocol.UDP:
            continue
        for subset in (None, *rule.subsets):
            policy = rule.policy_of(port.number, subset.name if subset else "", work.mesh)
            if is_passed_through(policy):
                continue
            where = placement_of(work, service, policy)
            key = (
                ENDPOINT_TYPE,
                Same(service),
                port,
                subset.name if subset else "",
                Same(rule),
                Same(endpoints),
                tuple(Same(item) for item in mtls.values()),
                where,
                *crossing_key(work),
            )
            made = partial(_build, service, port, subset, rule, endpoints, mtls, where, crossing_of(work))
            yield work.memo(key, made)


def crossing_of(work: Compilation) -> Crossing:
    """Networks as this class sees them."""
    return Crossing(work.proxy_class.network, work.snapshot.networks)


def crossing_key(work: Compilation) -> tuple[object, ...]:
    """Stands for it in the key of a memo."""
    return work.proxy_class.network, Same(work.snapshot.networks)


def place_of(service: Service, policy: PortPolicy, mesh: MeshConfig) -> PlaceSetting:
    """What says how places count for a cluster of the service with that policy."""
    rule = policy.load_balancer.locality_lb_setting if policy.load_balancer else None
    return place_setting(rule, service, mesh.locality_lb_setting)


def placement_of(work: Compilation, service: Service, policy: PortPolicy) -> Placement:
    """Where this class stands towards that cluster."""
    place = place_of(service, policy, work.mesh)
    where = placement(work.proxy_class.locality, policy.outlier_detection, place, work.place_labels)
    node = work.place_labels.get(HOST_LABEL, "") if service.node_local else None
    names = bool(work.mesh.default_providers.metrics)
    return where._replace(node=node, families=work.families, names_peers=names)


def policies_of(work: Compilation, service: Service, endpoints: tuple[Endpoint, ...]) -> dict[str, NamespaceMtls]:
    """The PeerAuthentications that count for a service's endpoints, by namespace."""
    namespaces = {service.namespace, *(item.namespace for item in endpoints)}
    return {namespace: work.mtls(namespace) for namespace in sorted(namespaces)}


def _build(
    service: Service,
    port: Port,
    subset: Subset | None,
    rule: ServiceRule,
    endpoints: tuple[Endpoint, ...],
    mtls: dict[str, NamespaceMtls],
    where: Placement,
    crossing: Crossing,
) -> Compiled:
    policy = rule.policy_of(port.number, subset.name if subset else "")
    name = outbound_cluster(port.number, subset.name if subset else "", service.host)
    made = load_assignment(name, endpoints, port, subset, service, policy, where, mtls, crossing)
    origins = [service.ref, *rule.makers(subset.name if subset else "")]
    origins += [policy for policies in mtls.values() for policy in policies.decider(None)]
    origins += [item.source for item in endpoints if item.source is not None and item.port_name == port.name]
    return packed(ENDPOINT_TYPE, name, made, beside=distinct(origins))


def load_assignment(
    name: str,
    endpoints: tuple[Endpoint, ...],
    port: Port,
    subset: Subset | None,
    service: Service,
    policy: PortPolicy,
    where: Placement,
    mtls: dict[str, NamespaceMtls] | None = None,
    crossing: Crossing = DIRECT,
) -> endpoint_pb2.ClusterLoadAssignment:
    """Also for DNS clusters, whose endpoints are names. Localities always have a weight: gRPC clients insist on one."""
    groups: dict[Group, list[Endpoint]] = {}
    by_place = subset is not None and not PLACE_LABELS.isdisjoint(subset.labels)
    chosen = []
    for item in endpoints:
        if item.port_name != port.name or not item.address or (mtls is not None and not is_address(item.address)):
            continue  # EDS has no names: those are for DNS clusters
        if where.node is not None and item.node != where.node:
            continue
        if subset is None or selects(subset.labels, item.placed_labels if by_place else item.labels):
            chosen.append(item)
    far = {id(item) for item in chosen if crossing.gateways_to(item)}
    near = where.families.reachable([item for item in chosen if id(item) not in far])
    for item in (*near, *(item for item in chosen if id(item) in far)):
        groups.setdefault(group_of(where, item), []).append(item)
    if crossing.networks.gateways:
        entered = {id(item) for item in chosen if accepts_mtls(item, policy, service, mtls or {})}
        through = partial(
            through_gateways,
            crossing=crossing,
            accepts_mtls=lambda item: id(item) in entered,
            includes=where.families.own.include,
        )
        groups = {group: through(found) for group, found in groups.items()}
    groups = _in_range(groups)
    weights = {group: sum(item.weight for item in found) for group, found in groups.items()}
    weights = distributed(where, weights)
    ordered = sorted(group for group in groups if weights[group])
    levels = priorities(where, ordered)
    made = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    for group in sorted(ordered, key=lambda item: (levels[item], item)):
        part = made.endpoints.add(priority=levels[group])
        part.load_balancing_weight.value = weights[group]
        if any(group.locality):
            part.locality.region, part.locality.zone, part.locality.sub_zone = group.locality
        for item in groups[group]:
            _add(part, item, accepts_mtls(item, policy, service, mtls or {}), where, by_eds=mtls is not None)
    return made


def _in_range(groups: dict[Group, list[Endpoint]]) -> dict[Group, list[Endpoint]]:
    """The same shares in numbers whose sum Envoy can hold (32 bits): one object's weights must not stop every push."""
    everyone = [item for found in groups.values() for item in found]
    total = sum(item.weight for item in everyone)
    if total <= _LARGEST_SUM:
        return groups
    room = _LARGEST_SUM - len(everyone)
    return {
        group: [replace(item, weight=max(1, item.weight * room // total)) for item in found]
        for group, found in groups.items()
    }


def is_address(text: str) -> bool:
    """Whether EDS takes it: an IP address, or the path of a Unix socket."""
    if text.startswith("unix://"):
        return True
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _add(
    group: endpoint_components_pb2.LocalityLbEndpoints, item: Endpoint, mutual: bool, where: Placement, *, by_eds: bool
) -> None:
    host, families = group.lb_endpoints.add(), where.families
    first, *more = families.used(item.reached_by(families.own))
    host.endpoint.address.CopyFrom(socket_address(first, item.port))
    for address in more:  # which Envoy tries too, each a little later than the one before (happy eyeballs)
        host.endpoint.additional_addresses.add(address=socket_address(address, item.port))
    if more and by_eds:
        # An Envoy that knows the first address keeps the host that it has, unless its locality or this differs.
        host.endpoint.hostname = ",".join(authority(address, item.port) for address in (first, *more))
    host.load_balancing_weight.value = item.weight
    host.health_status = health_check_pb2.HEALTHY if item.healthy else health_check_pb2.UNHEALTHY
    if item.draining:
        host.health_status = health_check_pb2.DRAINING
    if mutual:
        host.metadata.filter_metadata[_SOCKET_MATCH].update({"tlsMode": ISTIO_TLS})
    if item.workload or item.labels:
        revision = canonical_revision(item.labels)
        words = (
            item.workload,
            item.namespace,
            canonical_name(item.labels, item.workload),
            "" if revision == "latest" else revision,
            item.cluster,
        )
        host.metadata.filter_metadata["istio"].update({"workload": ";".join(words)})
        if where.names_peers:
            host.metadata.filter_metadata[PEER].update(names_of_endpoint(item)._asdict())


def accepts_mtls(item: Endpoint, policy: PortPolicy, service: Service, mtls: dict[str, NamespaceMtls]) -> bool:
    """Whether the mTLS socket of the cluster is the one to use for this endpoint."""
    if policy.tls is not None:
        return policy.tls.mode is TlsMode.ISTIO_MUTUAL
    if item.tls_mode != ISTIO_TLS or service.external:
        return False
    policies = mtls.get(item.namespace)
    return policies is None or policies.mode(item.labels, item.port) is not MtlsMode.DISABLE
