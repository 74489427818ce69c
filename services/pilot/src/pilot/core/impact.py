"""What a change can affect: a table of kinds and resource types (xds.md §14), and which classes it concerns. Pure.

Both err on the side of more: a class that is said to be unaffected compiles to the same resources before and after
(a property test holds this), a class that is said to be affected may turn out not to be.
"""

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from meshcore.errors import MeshError
from meshcore.hosts import host_matches, resolve_short_host
from meshcore.labels import selects
from meshcore.model import (
    AuthorizationPolicy,
    DestinationRule,
    EnvoyFilter,
    Gateway,
    MeshObject,
    PeerAuthentication,
    RequestAuthentication,
    Service,
    Sidecar,
    Telemetry,
    TrafficExtension,
    VirtualService,
    WasmPlugin,
)
from meshcore.model.kinds import by_plural
from meshcore.model.mesh_config import CONFIG_MAP_NAME, ROOT_NAMESPACE
from meshcore.xds.types import (
    BOOTSTRAP_TYPE,
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    EXTENSION_CONFIG_TYPE,
    LISTENER_TYPE,
    NAME_TABLE_TYPE,
    ROUTE_TYPE,
)

from pilot.core.config import Config, exported
from pilot.core.ingress import ingress_selector
from pilot.core.intake import read_object
from pilot.core.issuer_keys import KeySource, key_source
from pilot.core.networks import is_gateway
from pilot.core.policy_target import is_target
from pilot.core.proxy import ProxyClass, ProxyType
from pilot.core.registry.endpoint import NETWORK_LABEL
from pilot.core.registry.kinds import DESCRIBING_KINDS
from pilot.core.registry.service import DISTRIBUTION
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.scoping import (
    imports_host,
    imports_route,
    service_is_visible,
    sidecar_for,
    virtual_service_is_visible,
)

_C, _E, _L, _R, _N = CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, NAME_TABLE_TYPE
_X = EXTENSION_CONFIG_TYPE
_MANY = 1000
"""A wildcard that covers more services than this is taken for one of which every Sidecar imports something: to look
costs 3 us for each, a compile from the memo 10."""
_EVERYTHING = frozenset({_C, _E, _L, _R, _X, _N, BOOTSTRAP_TYPE})
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
        "VirtualService": frozenset({_C, _E, _L, _R, _N}),
        "DestinationRule": frozenset({_C, _E, _L, _R}),
        "Gateway": frozenset({_C, _E, _L, _R}),
        "Ingress": frozenset({_L, _R}),
        "IngressClass": frozenset({_L, _R}),
        "PeerAuthentication": frozenset({_C, _E, _L}),
        "RequestAuthentication": frozenset({_L}),
        "AuthorizationPolicy": frozenset({_L}),
        "Sidecar": frozenset({_C, _E, _L, _R, _N}),
        "EnvoyFilter": frozenset({_C, _L, _R, _X, BOOTSTRAP_TYPE}),
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
    return _types_of(change, kind_of(change))


def _types_of(change: Any, kind: str) -> frozenset[str]:
    if kind == "ConfigMap" and (change.key[2], change.key[3]) != (ROOT_NAMESPACE, CONFIG_MAP_NAME):
        return _NOTHING
    return AFFECTS.get(kind, _NOTHING)


def affects(change: Any, proxy_class: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """Whether a change can alter what this class is to have; `snapshot` is the one that was made by applying it."""
    kind = kind_of(change)
    if not _types_of(change, kind):
        return False
    if kind == "ConfigMap":
        return True
    if kind in ("Ingress", "IngressClass"):
        return _serves_ingresses(proxy_class, snapshot)
    if kind in DESCRIBING_KINDS and registry_affects(proxy_class, snapshot):
        return True
    try:
        forms = list(_forms(change, kind, snapshot)) if kind not in DESCRIBING_KINDS or kind == "Service" else []
    except Exception:  # noqa: BLE001 - it was left out and told of when it came; the form it left in force is not known
        return True
    if kind == "Service":
        if any(isinstance(item, Service) and is_gateway(item, snapshot.networks) for item in forms):
            return True
        named = change.key[2] in snapshot.ingress.virtual_services  # paths may name its ports
        return named and _serves_ingresses(proxy_class, snapshot)
    if kind == "Namespace":
        return bool(snapshot.mesh_config.discovery_selectors) or any(
            DISTRIBUTION in item.metadata.annotations or NETWORK_LABEL in item.metadata.labels for item in forms
        )
    return any(_concerns(item, proxy_class, snapshot) for item in forms)


def registry_affects(proxy_class: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """Whether the services and endpoints that the registry's last update touched can alter what this class is to have:
    those that it serves, and those in its scope, before or after."""
    known = snapshot.concerned.get(proxy_class)
    if known is None:
        known = snapshot.concerned[proxy_class] = _registry_affects(proxy_class, snapshot)
    return known


def _registry_affects(one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    registry = snapshot.registry
    if any(served.service in registry.touched for served in one.served):
        return True
    sidecar = _narrowing(one, snapshot)
    visible = (
        key
        for key in registry.touched
        for form in (registry.replaced.get(key), registry.services.get(key))
        if form is not None and service_is_visible(snapshot, form, one.namespace)
    )
    return any(True for _ in visible) if sidecar is None else imports_host(snapshot, sidecar, visible, one.namespace)


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
        yield read_object((kind, change.key[2], change.key[3]), change.key[0], previous)


def _concerns(item: MeshObject, one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    mesh, owner = snapshot.mesh_config, item.metadata.namespace
    if isinstance(item, VirtualService):
        return _sees_routes(item, one, snapshot)
    if isinstance(item, DestinationRule):
        selector = item.spec.workload_selector
        if selector is not None and not (owner == one.namespace and selects(selector.match_labels, one.label_map)):
            return False
        targets = item.spec.export_to or mesh.default_destination_rule_export_to
        seen = owner == one.namespace or exported(targets, owner, one.namespace)
        return seen and _has_host(resolve_short_host(item.spec.host.lower(), owner), one, snapshot)
    if isinstance(item, Gateway):
        return one.type is ProxyType.ROUTER and selects(item.spec.selector, one.label_map)
    if isinstance(item, PeerAuthentication):
        return owner in (mesh.root_namespace, one.namespace) or _sees_services_of(owner, one, snapshot)
    policies = (EnvoyFilter, TrafficExtension, WasmPlugin, Telemetry, RequestAuthentication, AuthorizationPolicy)
    if isinstance(item, policies):
        return is_target(item, one, mesh.root_namespace)
    return _may_choose(item, one, snapshot) if isinstance(item, Sidecar) else True


def _serves_ingresses(one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    return one.type is ProxyType.ROUTER and selects(ingress_selector(snapshot.mesh_config), one.label_map)


def _sees_routes(item: VirtualService, one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """A delegate is seen by who sees a VirtualService that names it."""
    if item.spec.hosts:
        return _sees(Config(item), one, snapshot)
    return any(
        item.namespaced_name in config.named and _sees(config, one, snapshot) for config in snapshot.delegating.values()
    )


def _sees(config: Config[VirtualService], one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    if not virtual_service_is_visible(snapshot, config, one.namespace):
        return False
    sidecar = _narrowing(one, snapshot)
    return sidecar is None or imports_route(sidecar, config, one.namespace)


def _narrowing(one: ProxyClass, snapshot: MeshSnapshot) -> Config[Sidecar] | None:
    """The Sidecar that says what the class imports; None when that is all that is exported to it."""
    if one.type is not ProxyType.SIDECAR:
        return None
    found = sidecar_for(snapshot, one.namespace, one.label_map)
    return found if found is not None and found.object.spec.egress else None


def _has_host(host: str, one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """Whether the class calls or serves a service that this host (a wildcard, too) covers."""
    sidecar = _narrowing(one, snapshot)
    if sidecar is None:
        return True
    stand_in = f"{sidecar.name}.{sidecar.namespace}"  # of the services behind a Sidecar's ingress
    if any(host_matches(host, name) for name in (stand_in, *(served.service.host for served in one.served))):
        return True
    services = snapshot.registry.covered_by(host)
    if len(services) > _MANY:
        return True
    return imports_host(snapshot, sidecar, (service.key for service in services), one.namespace)


def _sees_services_of(owner: str, one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """Whether a service of that namespace, or with an endpoint there, is in the scope of the class."""
    services = snapshot.registry.services
    keys = snapshot.registry.in_namespace.get(owner, ())
    visible = (key for key in keys if service_is_visible(snapshot, services[key], one.namespace))
    sidecar = _narrowing(one, snapshot)
    return any(True for _ in visible) if sidecar is None else imports_host(snapshot, sidecar, visible, one.namespace)


def _may_choose(item: Sidecar, one: ProxyClass, snapshot: MeshSnapshot) -> bool:
    """Whether this Sidecar is, or was, what says what the class sees. One that comes before it now has come before it
    all the time, or concerns the class itself."""
    owner, selector = item.metadata.namespace, item.spec.workload_selector
    if one.type is not ProxyType.SIDECAR or owner not in (one.namespace, snapshot.mesh_config.root_namespace):
        return False
    if owner == one.namespace and selector is not None and not _selects_all(item):
        return selects(selector.labels, one.label_map)
    found = sidecar_for(snapshot, one.namespace, one.label_map)
    if found is None or found.namespace != one.namespace:
        return True
    return owner == one.namespace and _selects_all(found.object)


def _selects_all(item: Sidecar) -> bool:
    selector = item.spec.workload_selector
    return selector is None or not selector.labels
