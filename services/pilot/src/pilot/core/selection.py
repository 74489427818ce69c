"""Which services a workload serves and which of its labels matter: all that decides the class of a proxy. Pure."""

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, cast

from meshcore.model import (
    AuthorizationPolicy,
    DestinationRule,
    EnvoyFilter,
    Gateway,
    Ingress,
    MeshObject,
    Namespace,
    PeerAuthentication,
    RequestAuthentication,
    ServiceEntry,
    Sidecar,
    Telemetry,
    TrafficExtension,
    VirtualService,
    WasmPlugin,
    WorkloadGroup,
)
from meshcore.model import Service as KubernetesService
from meshcore.model.core_v1 import ServiceSpec
from meshcore.model.destination_rule import LocalityLbSetting
from meshcore.model.mesh_config import MeshConfig
from meshcore.workload_names import NAME_LABELS, REVISION_LABELS

from pilot.core.differing import differing
from pilot.core.ingress import SELECTOR_LABEL
from pilot.core.registry.endpoint import HOST_LABEL
from pilot.core.registry.index import Registry
from pilot.core.registry.pods import Place
from pilot.core.registry.service import DISTRIBUTION, LOCAL, Distribution, Port, Service, ServiceKey

WORKLOAD_NAME = "WORKLOAD_NAME"
NAMING_LABELS = tuple(dict.fromkeys((*NAME_LABELS, *REVISION_LABELS)))
"""Labels of a workload that its metrics and traces name."""
GATEWAY_NAME_LABEL = "gateway.networking.k8s.io/gateway-name"
"""On the proxies of a Gateway of the Gateway API: its name."""


class Listed(NamedTuple):
    """An endpoint that a service lists by address: the service's port and the number at the endpoint."""

    service: ServiceKey
    port: int
    target: int


@dataclass(frozen=True)
class Selection:
    """The same object in the next snapshot unless some proxy's class may have changed."""

    read_keys: frozenset[str] = frozenset()
    """Labels of a proxy that some selector or failover reads."""
    place_keys: frozenset[str] = frozenset()
    """Those that failover reads."""
    read_metadata: frozenset[str] = frozenset()
    """Keys of a node's metadata that some config reads."""
    selecting: Mapping[str, tuple[Service, ...]] = field(default_factory=dict)
    """By namespace, services with a selector, oldest first."""
    by_address: Mapping[str, tuple[Listed, ...]] = field(default_factory=dict)
    """Services that list endpoints instead of selecting them."""
    groups: Mapping[tuple[str, str], WorkloadGroup] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)
    """Where the pods run, by the ids of their proxies."""
    pod_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What the pods are labelled now, by the ids of their proxies."""

    def labels_of(self, pod: str, said: Mapping[str, str], metadata: Mapping[str, Any]) -> Mapping[str, str]:
        """The labels of a proxy that has said these when it started: as its pod is labelled now, with what its
        environment adds; what was said where no pod is known (xds.md, node metadata)."""
        live = self.pod_labels.get(pod)
        if live is None:
            return said
        fixed = metadata.get("STATIC_LABELS")
        return (
            {**{str(key): str(value) for key, value in fixed.items()}, **live} if isinstance(fixed, Mapping) else live
        )

    def with_keys(self, labels: Iterable[str], place: Iterable[str], metadata: Iterable[str]) -> "Selection":
        """With these labels read by selectors, these by failover, and these keys of metadata."""
        places = frozenset(place)
        wanted = places.union(labels), places, frozenset(metadata)
        if wanted == (self.read_keys, self.place_keys, self.read_metadata):
            return self
        return replace(self, read_keys=wanted[0], place_keys=wanted[1], read_metadata=wanted[2])


class Placed(Protocol):
    """What of a proxy decides which services it serves."""

    @property
    def namespace(self) -> str: ...  # noqa: D102
    @property
    def instance_ips(self) -> tuple[str, ...]: ...  # noqa: D102


def concerned(before: Selection, after: Selection) -> Callable[[Placed], bool]:
    """Which proxies may be of another class after that step: those of some namespaces and addresses where only the
    services that proxies serve are others; else all."""
    if before == replace(after, selecting=before.selecting, by_address=before.by_address):
        namespaces = differing(before.selecting, after.selecting)
        addresses = differing(before.by_address, after.by_address)
        return lambda proxy: proxy.namespace in namespaces or not addresses.isdisjoint(proxy.instance_ips)
    return lambda proxy: True


def counted_keys(
    counts: Mapping[str, int],
    steps: Iterable[tuple[MeshObject | None, MeshObject | None]],
    read: Callable[[MeshObject], Iterable[str]],
) -> Mapping[str, int]:
    """How many objects read each key after objects (before, after) changed; the same map when none did."""
    after = dict(counts)
    for old, new in steps:
        for item, step in ((old, -1), (new, 1)):
            for key in read(item) if item is not None else ():
                after[key] = after.get(key, 0) + step
    after = {key: count for key, count in after.items() if count > 0}
    return counts if after == counts else after


def read_label_keys(item: MeshObject) -> tuple[str, ...]:
    """The labels of a proxy that this object makes count."""
    if isinstance(item, Sidecar):
        return tuple(item.spec.workload_selector.labels) if item.spec.workload_selector else ()
    if isinstance(item, Gateway):
        return tuple(item.spec.selector)
    if isinstance(item, Ingress):
        return (SELECTOR_LABEL,)
    if isinstance(item, PeerAuthentication):
        return tuple(item.spec.selector.match_labels) if item.spec.selector else ()
    if isinstance(item, DestinationRule):
        return tuple(item.spec.workload_selector.match_labels) if item.spec.workload_selector else ()
    if isinstance(item, EnvoyFilter):
        found = list(item.spec.workload_selector.labels) if item.spec.workload_selector else []
        return (*found, GATEWAY_NAME_LABEL) if item.spec.target_refs else tuple(found)
    if isinstance(item, (AuthorizationPolicy, RequestAuthentication, TrafficExtension, WasmPlugin, Telemetry)):
        policy: Any = item.spec
        found = list(policy.selector.match_labels) if policy.selector else []
        if isinstance(item, Telemetry) and (item.spec.metrics or item.spec.tracing):
            found += NAMING_LABELS
        refers = policy.target_refs or getattr(policy, "target_ref", None)
        return (*found, GATEWAY_NAME_LABEL) if refers else tuple(found)
    if isinstance(item, VirtualService):
        spec = item.spec
        found = [key for route in spec.http for match in route.match for key in match.source_labels]
        found += [key for route in spec.tcp for match in route.match for key in match.source_labels]
        found += [key for route in spec.tls for match in route.match for key in match.source_labels]
        return tuple(found)
    return ()


def read_place_keys(item: MeshObject) -> tuple[str, ...]:
    """The labels of a proxy that this object makes count for failover."""
    if isinstance(item, DestinationRule):
        policies = [item.spec.traffic_policy, *(subset.traffic_policy for subset in item.spec.subsets)]
        present = [policy for policy in policies if policy is not None]
        balancers = [policy.load_balancer for policy in present]
        balancers += [port.load_balancer for policy in present for port in policy.port_level_settings]
        found = [one.locality_lb_setting for one in balancers if one is not None]
        return tuple(key for setting in found if setting is not None for key in failover_keys(setting))
    if isinstance(item, (KubernetesService, ServiceEntry, Namespace)):
        said = item.metadata.annotations.get(DISTRIBUTION)
        spec = item.spec if isinstance(item, KubernetesService) else ServiceSpec()
        words = Distribution.parse(said), Distribution.parse(spec.traffic_distribution)
        return (HOST_LABEL,) if Distribution.SAME_NODE in words or spec.internal_traffic_policy == LOCAL else ()
    return ()


def failover_keys(setting: LocalityLbSetting) -> tuple[str, ...]:
    """The labels of the client that `failoverPriority` compares."""
    return tuple(key for key in setting.failover_priority if "=" not in key)


def read_metadata_keys(item: MeshObject) -> tuple[str, ...]:
    """The keys of a node's metadata that this object makes count."""
    if isinstance(item, EnvoyFilter):
        matches = [patch.match.proxy for patch in item.spec.config_patches if patch.match and patch.match.proxy]
        return tuple(key for match in matches for key in match.metadata)
    if isinstance(item, Telemetry) and (item.spec.metrics or item.spec.tracing):
        return (WORKLOAD_NAME,)
    return ()


def read_by_mesh(mesh: MeshConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels and keys of metadata that the mesh config makes count: its metrics and traces name the workload."""
    names = bool(mesh.default_providers.metrics or mesh.enable_tracing)
    return (NAMING_LABELS, (WORKLOAD_NAME,)) if names else ((), ())


def updated_selection(selection: Selection, before: Registry, after: Registry) -> Selection:
    """The selection of the registry `after`, given that of `before`; the same object when nothing it shows changed."""
    selecting = dict(selection.selecting)
    by_address = selection.by_address
    changed = after.touched
    for namespace in {key.namespace for key in changed if _differs(before, after, key)}:
        found = [after.services[key] for key in after.selecting.get(namespace, ()) if key in after.services]
        ordered = tuple(sorted((item for item in found if item.selector), key=lambda item: (item.age, item.host)))
        selecting[namespace] = ordered
        if not ordered:
            del selecting[namespace]
    listing = [key for key in changed if _lists(before, key) or _lists(after, key)]
    if listing:
        by_address = _readdressed(by_address, listing, before, after)
    made = replace(
        selection,
        selecting=selecting,
        by_address=by_address,
        groups=after.groups,
        places=after.pods.places,
        pod_labels=after.pods.labels,
    )
    return selection if made == selection else made


def _differs(before: Registry, after: Registry, key: ServiceKey) -> bool:
    return before.services.get(key) is not after.services.get(key)


def _lists(registry: Registry, key: ServiceKey) -> bool:
    service = registry.services.get(key)
    return service is not None and not service.selector


def _readdressed(
    by_address: Mapping[str, tuple[Listed, ...]], changed: Iterable[ServiceKey], before: Registry, registry: Registry
) -> Mapping[str, tuple[Listed, ...]]:
    gone = frozenset(changed)
    old = {endpoint.address for key in gone for endpoint in before.endpoints.get(key, ())}
    after = {address: [item for item in by_address.get(address, ()) if item.service not in gone] for address in old}
    for key in gone:
        service = registry.services.get(key)
        if service is None or service.selector:
            continue
        ports: dict[str, Port] = {port.name: port for port in service.ports}
        for endpoint in registry.endpoints.get(key, ()):
            # Two ServiceEntries of one host merge their endpoints, and the older one's ports are the service's.
            if (port := ports.get(endpoint.port_name)) is not None:
                item = Listed(key, port.number, endpoint.port)
                known = after.setdefault(endpoint.address, list(by_address.get(endpoint.address, ())))
                known.append(item)
    # A copy of all addresses; dict(...) would take them one by one, since there are gaps of those that went.
    made = cast(dict[str, tuple[Listed, ...]], copy(by_address))
    for address, listed in after.items():
        if listed:
            made[address] = tuple(sorted(set(listed)))
        else:
            made.pop(address, None)
    return made
