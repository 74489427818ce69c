"""What a change can affect: a table of kinds and resource types (xds.md §14), and which classes it concerns. Pure.

Both err on the side of more: a class that is said to be unaffected compiles to the same resources before and after
(a property test holds this), a class that is said to be affected may turn out not to be.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from meshcore.errors import MeshError
from meshcore.labels import selects
from meshcore.model import (
    AuthorizationPolicy,
    DestinationRule,
    Endpoints,
    EndpointSlice,
    EnvoyFilter,
    Gateway,
    MeshObject,
    PeerAuthentication,
    RequestAuthentication,
    Service,
    ServiceEntry,
    Sidecar,
    Telemetry,
    TrafficExtension,
    VirtualService,
    WasmPlugin,
)
from meshcore.model.endpoint_slice import SERVICE_NAME_LABEL
from meshcore.model.kinds import by_plural
from meshcore.model.load import parse_object
from meshcore.model.mesh_config import CONFIG_MAP_NAME, ROOT_NAMESPACE
from meshcore.xds.types import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    EXTENSION_CONFIG_TYPE,
    LISTENER_TYPE,
    NAME_TABLE_TYPE,
    ROUTE_TYPE,
)

from pilot.core.config import Config, exported
from pilot.core.ingress import ingress_selector
from pilot.core.issuer_keys import KeySource, key_source
from pilot.core.networks import is_gateway
from pilot.core.policy_target import is_target
from pilot.core.proxy import ProxyClass, ProxyType
from pilot.core.registry.endpoint import NETWORK_LABEL
from pilot.core.registry.kubernetes import service_host
from pilot.core.registry.service import DISTRIBUTION, ServiceKey
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.scoping import service_is_visible, virtual_service_is_visible

_C, _E, _L, _R, _N = CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, NAME_TABLE_TYPE
_X = EXTENSION_CONFIG_TYPE
_EVERYTHING = frozenset({_C, _E, _L, _R, _X, _N})
_NOTHING: frozenset[str] = frozenset()

AFFECTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "Service": _EVERYTHING,
        "ServiceEntry": _EVERYTHING,
        # Endpoints decide the SANs of clusters, the listeners of headless services, and their names.
        "EndpointSlice": frozenset({_C, _E, _L, _N}),
        "Endpoints": frozenset({_C, _E, _L, _N}),
        # A pod says who its endpoints are, its node where they are.
        "Pod": frozenset({_C, _E, _L, _N}),
        "Node": frozenset({_C, _E, _L, _N}),
        "WorkloadEntry": frozenset({_C, _E, _L, _N}),
        "WorkloadGroup": frozenset({_C, _E, _L, _N}),
        "VirtualService": frozenset({_C, _E, _L, _R}),
        "DestinationRule": frozenset({_C, _E, _L, _R}),
        "Gateway": frozenset({_C, _E, _L, _R}),
        "Ingress": frozenset({_L, _R}),
        "IngressClass": frozenset({_L, _R}),
        "PeerAuthentication": frozenset({_C, _E, _L}),
        "RequestAuthentication": frozenset({_L}),
        "AuthorizationPolicy": frozenset({_L}),
        "Sidecar": frozenset({_C, _E, _L, _R}),
        "EnvoyFilter": frozenset({_C, _L, _R, _X}),
        "TrafficExtension": frozenset({_L, _X}),
        "WasmPlugin": frozenset({_L, _X}),
        "Telemetry": frozenset({_L}),
        "ConfigMap": _EVERYTHING,
        # Which namespaces count, and what their services prefer.
        "Namespace": _EVERYTHING,
        "ServiceAccount": _NOTHING,
    }
)
"""By kind. A VirtualService reaches clusters because a Sidecar imports the services that its routes name, a Gateway
because AUTO_PASSTHROUGH has clusters of its own."""


def kind_of(change: Any) -> str:
    """The kind of a change's object; empty for one that this version does not know."""
    try:
        return by_plural(change.key[0], change.key[1]).kind
    except MeshError:
        return ""


def affected_types(change: Any) -> frozenset[str]:
    """The types of resources that a change can alter in some proxy."""
    kind = kind_of(change)
    if kind == "ConfigMap" and (change.key[2], change.key[3]) != (ROOT_NAMESPACE, CONFIG_MAP_NAME):
        return _NOTHING
    return AFFECTS.get(kind, _NOTHING)


def affects(change: Any, proxy_class: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """Whether a change (already part of `snapshot`) can alter what this class is to have."""
    if not affected_types(change):
        return False
    kind = kind_of(change)
    if kind in ("ConfigMap", "Node"):
        return True
    if kind in ("Ingress", "IngressClass"):
        return _serves_ingresses(proxy_class, snapshot)
    forms = list(_forms(change, kind, snapshot))
    if any(isinstance(item, Service) and is_gateway(item, snapshot.networks) for item in forms):
        return True
    named = kind == "Service" and change.key[2] in snapshot.ingress.virtual_services
    if named and _serves_ingresses(proxy_class, snapshot):
        return True  # paths may name its ports
    if kind == "Namespace":
        return bool(snapshot.mesh_config.discovery_selectors) or any(
            DISTRIBUTION in item.metadata.annotations or NETWORK_LABEL in item.metadata.labels for item in forms
        )
    return any(_concerns(item, proxy_class, snapshot) for item in forms)


def endpoints_affect(services: Iterable[ServiceKey], proxy_class: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """Whether other endpoints of these services can alter what this class is to have."""
    return any(
        key.namespace == proxy_class.namespace or _sees_host(key.host, key.namespace, proxy_class, snapshot)
        for key in services
    )


def keys_affect(sources: Collection[KeySource], proxy_class: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """Whether other keys from these sources can alter what this class is to have."""
    if not sources:
        return False
    root = snapshot.mesh_config.root_namespace
    spaces = snapshot.by_namespace.get("RequestAuthentication", {})
    return any(
        key_source(rule) in sources
        for namespace in {root, proxy_class.namespace}
        for config in spaces.get(namespace, ())
        if is_target(config.object, proxy_class, root)
        for rule in config.object.spec.jwt_rules
    )


def _forms(change: Any, kind: str, snapshot: MeshSnapshot) -> Iterator[MeshObject]:
    """The object as it is now and as it was."""
    config: Config[Any] | None = snapshot.configs.get(kind, {}).get((change.key[2], change.key[3]))
    if config is not None:
        yield config.object
    previous = change.previous
    if previous is not None and not previous.deleted:
        try:
            yield parse_object(previous.object, strict=False)
        except MeshError:
            return  # it was never part of any snapshot


def _concerns(item: MeshObject, one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    mesh, owner = snapshot.mesh_config, item.metadata.namespace
    if isinstance(item, VirtualService):
        return _sees_routes(item, one, snapshot)
    if isinstance(item, DestinationRule):
        if item.spec.workload_selector is not None:
            return owner == one.namespace and selects(item.spec.workload_selector.match_labels, one.label_map)
        targets = item.spec.export_to or mesh.default_destination_rule_export_to
        return owner == one.namespace or exported(targets, owner, one.namespace)
    if isinstance(item, Gateway):
        return one.type is ProxyType.ROUTER and selects(item.spec.selector, one.label_map)
    if isinstance(item, PeerAuthentication):
        return owner in (mesh.root_namespace, one.namespace) or _sees_services_of(owner, one, snapshot)
    policies = (EnvoyFilter, TrafficExtension, WasmPlugin, Telemetry, RequestAuthentication, AuthorizationPolicy)
    if isinstance(item, policies):
        return is_target(item, one, mesh.root_namespace)
    if isinstance(item, Sidecar):
        return owner in (mesh.root_namespace, one.namespace)
    if isinstance(item, ServiceEntry):
        return owner == one.namespace or exported(
            item.spec.export_to or mesh.default_service_export_to, owner, one.namespace
        )
    if isinstance(item, (Service, EndpointSlice, Endpoints)):
        return owner == one.namespace or _sees_host(_host_of(item), owner, one, snapshot)
    return owner == one.namespace or _sees_services_of(owner, one, snapshot)


def _serves_ingresses(one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    return one.type is ProxyType.ROUTER and selects(ingress_selector(snapshot.mesh_config), one.label_map)


def _sees_routes(item: VirtualService, one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """A delegate is seen by who sees a VirtualService that names it."""
    if item.spec.hosts:
        return virtual_service_is_visible(snapshot, Config(item), one.namespace)
    return any(
        item.namespaced_name in config.named and virtual_service_is_visible(snapshot, config, one.namespace)
        for config in snapshot.delegating.values()
    )


def _host_of(item: MeshObject) -> str:
    name = item.metadata.labels.get(SERVICE_NAME_LABEL, "") if isinstance(item, EndpointSlice) else item.metadata.name
    return service_host(name, item.metadata.namespace)


def _sees_host(host: str, owner: str, one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """A Service that is gone is taken for visible: its exportTo is no longer known here."""
    service = snapshot.registry.services.get(ServiceKey(host, owner))
    return service is None or service_is_visible(snapshot, service, one.namespace)


def _sees_services_of(owner: str, one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    return any(
        service_is_visible(snapshot, service, one.namespace)
        for key, service in _services(snapshot)
        if key.namespace == owner
    )


def _services(snapshot: MeshSnapshot) -> Iterable[tuple[ServiceKey, Any]]:
    return snapshot.registry.services.items()
