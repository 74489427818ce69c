"""The scope of a class of proxies: the services, routes and rules that it is compiled from. Pure.

Services: exported to the class's namespace and named by its Sidecar's egress (default: everything). Of several services
for one host the class's own namespace wins, then Kubernetes, then the oldest. VirtualServices: those of the own
namespace, then those exported to it by name, then public ones, each by age (Istio: push context, sidecar scope).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from meshcore.hosts import host_matches, hosts_overlap, resolve_short_host
from meshcore.labels import selects
from meshcore.model import Sidecar, VirtualService
from meshcore.model.mesh_config import MeshOutboundMode
from meshcore.model.sidecar import EgressListener, OutboundMode
from meshcore.xds.names import ALLOW_ANY_DYNAMIC_DNS_CLUSTER, BLACK_HOLE_CLUSTER, PASSTHROUGH_CLUSTER, outbound_cluster

from pilot.core.config import PUBLIC, Config, exported
from pilot.core.gateway_name import MESH_GATEWAY
from pilot.core.proxy import ProxyClass, ProxyType
from pilot.core.registry import Service
from pilot.core.registry.service import ServiceKey
from pilot.core.senders import destination_hosts
from pilot.core.snapshot import MeshSnapshot


@dataclass(frozen=True, eq=False)
class Scope:
    """What a class of proxies is compiled from; `services` are the oldest first."""

    services: tuple[Service, ...]
    by_host: Mapping[str, Service]
    virtual_services: tuple[Config[VirtualService], ...]
    """Bound to the mesh, in the order of precedence."""
    sidecar: Config[Sidecar] | None
    unknown: str
    """The cluster of traffic to hosts that nobody knows: to where it was going, to where its name leads, to the
    Sidecar's egress proxy, or into the black hole."""
    ports: tuple[tuple[EgressListener, frozenset[str]], ...] = ()
    """The Sidecar's egress listeners with a port, and the hosts that each imports."""

    @property
    def looks_up_any(self) -> bool:
        """Whether such traffic goes where the name in its requests leads, as far as it is HTTP."""
        return self.unknown == ALLOW_ANY_DYNAMIC_DNS_CLUSTER

    @property
    def unknown_bytes(self) -> str:
        """The cluster of such traffic that is not HTTP: bytes have no name."""
        return PASSTHROUGH_CLUSTER if self.looks_up_any else self.unknown

    def hosts_on(self, number: int) -> frozenset[str] | None:
        """The hosts that a port is for; None when no egress listener has it, so that it is for all that have it."""
        found = [
            hosts for listener, hosts in self.ports if listener.port is not None and listener.port.number == number
        ]
        return found[0] if found else None


def sidecar_for(snapshot: MeshSnapshot, namespace: str, labels: Mapping[str, str]) -> Config[Sidecar] | None:
    """The Sidecar of a workload: of its namespace by selector, then without one, then the root namespace's."""
    general = None
    for config in snapshot.sidecars(namespace):
        selector = config.object.spec.workload_selector
        if selector is None or not selector.labels:
            general = general or config
        elif selects(selector.labels, labels):
            return config
    if general is not None:
        return general
    for config in snapshot.sidecars(snapshot.mesh_config.root_namespace):
        if config.object.spec.workload_selector is None:
            return config
    return None


def service_is_visible(snapshot: MeshSnapshot, service: Service, namespace: str) -> bool:
    """Whether `exportTo` shows the service to that namespace."""
    targets = service.export_to or snapshot.mesh_config.default_service_export_to
    return exported(targets, service.namespace, namespace)


def virtual_service_is_visible(snapshot: MeshSnapshot, config: Config[VirtualService], namespace: str) -> bool:
    """Whether `exportTo` shows the VirtualService to that namespace."""
    targets = config.object.spec.export_to or snapshot.mesh_config.default_virtual_service_export_to
    return exported(targets, config.namespace, namespace)


def scope_for(
    snapshot: MeshSnapshot, proxy_class: ProxyClass, visible: Callable[[], tuple[Service, ...]] | None = None
) -> Scope:
    """The scope of that class; `visible` may give what `visible_services` would, remembered."""
    namespace = proxy_class.namespace
    sidecar = None
    if proxy_class.type is ProxyType.SIDECAR:
        sidecar = sidecar_for(snapshot, namespace, proxy_class.label_map)
    routes = _mesh_routes(snapshot, namespace)
    if sidecar is not None and sidecar.object.spec.egress:
        services, routes, ports = _imported(sidecar, _visible_hosts(snapshot, namespace), routes, namespace)
        ordered = _seen(_ordered(services), proxy_class)
    else:
        ports = ()
        ordered = visible() if visible is not None else visible_services(snapshot, proxy_class)
    return Scope(
        ordered,
        {service.host: service for service in ordered},
        tuple(routes),
        sidecar,
        _unknown(snapshot, sidecar),
        ports,
    )


def visible_services(snapshot: MeshSnapshot, proxy_class: ProxyClass) -> tuple[Service, ...]:
    """Everything that a class sees without a Sidecar, oldest first, one service per host."""
    namespace = proxy_class.namespace
    found = _ordered(_chosen(found, namespace) for found in _visible_hosts(snapshot, namespace).values())
    return _seen(found, proxy_class)


def _seen(services: tuple[Service, ...], one: ProxyClass) -> tuple[Service, ...]:
    """With the addresses that count for the class."""
    return tuple(service.seen_by(one.families, given=one.captures_dns) for service in services)


def _ordered(services: Iterable[Service]) -> tuple[Service, ...]:
    return tuple(sorted(services, key=lambda service: (service.age, service.host)))


def route_hosts(config: Config[VirtualService], domain: str) -> tuple[str, ...]:
    """The hosts of a VirtualService, spelled out."""
    return tuple(resolve_short_host(host.lower(), config.namespace, domain) for host in config.object.spec.hosts)


def _visible_hosts(snapshot: MeshSnapshot, namespace: str) -> dict[str, tuple[Service, ...]]:
    found = {}
    for host, services in snapshot.registry.by_host.items():
        visible = tuple(service for service in services if service_is_visible(snapshot, service, namespace))
        if visible:
            found[host] = visible
    return found


def _chosen(services: tuple[Service, ...], namespace: str) -> Service:
    return min(
        services,
        key=lambda service: (service.namespace != namespace, not service.from_kubernetes, service.age),
    )


def visible_routes(snapshot: MeshSnapshot, namespace: str) -> list[Config[VirtualService]]:
    """Every VirtualService with hosts that a namespace sees, in the order of precedence."""
    own, named, public = [], [], []
    for owner in snapshot.by_namespace.get("VirtualService", {}):
        for config in snapshot.virtual_services(owner):
            spec = config.object.spec
            if not spec.hosts or not virtual_service_is_visible(snapshot, config, namespace):
                continue
            targets = spec.export_to or snapshot.mesh_config.default_virtual_service_export_to
            if owner == namespace:
                own.append(config)
            elif PUBLIC in targets:
                public.append(config)
            else:
                named.append(config)
    return [config for part in (own, named, public) for config in sorted(part, key=lambda item: item.age)]


def _mesh_routes(snapshot: MeshSnapshot, namespace: str) -> list[Config[VirtualService]]:
    routes = visible_routes(snapshot, namespace)
    return [item for item in routes if not item.object.spec.gateways or MESH_GATEWAY in item.object.spec.gateways]


def _unknown(snapshot: MeshSnapshot, sidecar: Config[Sidecar] | None) -> str:
    policy = sidecar.object.spec.outbound_traffic_policy if sidecar else None
    if sidecar is None or policy is None:
        return _UNKNOWN[snapshot.mesh_config.outbound_traffic_policy.mode]
    if policy.mode is not OutboundMode.ALLOW_ANY:
        return BLACK_HOLE_CLUSTER
    proxy = policy.egress_proxy
    if proxy is None:
        return PASSTHROUGH_CLUSTER
    host = resolve_short_host(proxy.host.lower(), sidecar.namespace)
    return outbound_cluster(proxy.port.number if proxy.port else 0, proxy.subset, host)


_UNKNOWN = {
    MeshOutboundMode.REGISTRY_ONLY: BLACK_HOLE_CLUSTER,
    MeshOutboundMode.ALLOW_ANY: PASSTHROUGH_CLUSTER,
    MeshOutboundMode.ALLOW_ANY_DYNAMIC_DNS: ALLOW_ANY_DYNAMIC_DNS_CLUSTER,
}


def _imported(
    sidecar: Config[Sidecar],
    candidates: Mapping[str, tuple[Service, ...]],
    routes: list[Config[VirtualService]],
    namespace: str,
) -> tuple[list[Service], list[Config[VirtualService]], tuple[tuple[EgressListener, frozenset[str]], ...]]:
    """Services and routes that some egress listener names; a listener with a port imports that port only."""
    chosen: dict[str, Service] = {}
    kept: dict[int, Config[VirtualService]] = {}
    ports: list[tuple[EgressListener, frozenset[str]]] = []
    for listener in sidecar.object.spec.egress:
        patterns = _patterns(listener, namespace)
        for config in routes:
            hosts = route_hosts(config, "cluster.local")
            if any(_names(patterns, config.namespace, host, both_ways=True) for host in hosts):
                kept[id(config)] = config
        imported = _of_listener(patterns, _excluded(listener, namespace), candidates, namespace)
        if listener.port is not None:  # what it is for, which is less than what can be reached through it
            ports.append((listener, frozenset(service.host for service in imported)))
        imported += _destinations(kept.values(), candidates, namespace)
        for service in imported:
            part = _on_port(service, listener)
            if part is not None:
                known = chosen.get(service.host)
                chosen[service.host] = _united(known, part, service) if known else part
    return list(chosen.values()), [config for config in routes if id(config) in kept], tuple(ports)


def _patterns(listener: EgressListener, namespace: str) -> list[tuple[str, str]]:
    """(namespace or `*`, host) of each entry; `./` is the Sidecar's own namespace, `~/` none."""
    return _scoped((text for text in listener.hosts if not text.startswith("~")), namespace)


def _excluded(listener: EgressListener, namespace: str) -> list[tuple[str, str]]:
    """What `~namespace/host` takes out of the rest."""
    return _scoped((text[1:] for text in listener.hosts if text.startswith("~") and text[1:2] != "/"), namespace)


def _scoped(texts: Iterable[str], namespace: str) -> list[tuple[str, str]]:
    parts = [tuple(text.split("/", 1)) if "/" in text else ("*", text) for text in texts]
    return [(namespace if owner == "." else owner, host.lower()) for owner, host in parts]


def _names(patterns: Iterable[tuple[str, str]], owner: str, host: str, *, both_ways: bool = False) -> bool:
    match = hosts_overlap if both_ways else host_matches
    return any(wanted in ("*", owner) and match(pattern, host) for wanted, pattern in patterns)


def _of_listener(
    patterns: list[tuple[str, str]],
    excluded: list[tuple[str, str]],
    candidates: Mapping[str, tuple[Service, ...]],
    namespace: str,
) -> list[Service]:
    found = []
    for host, services in candidates.items():
        named = tuple(
            service
            for service in services
            if _names(patterns, service.namespace, host) and not _names(excluded, service.namespace, host)
        )
        if named:
            found.append(_chosen(named, namespace))
    return found


def _destinations(
    routes: Iterable[Config[VirtualService]], candidates: Mapping[str, tuple[Service, ...]], namespace: str
) -> list[Service]:
    """A service that an imported route sends to is reachable even if no listener names it."""
    hosts = {host for config in routes for host in destination_hosts(config)}
    return [_chosen(candidates[host], namespace) for host in sorted(hosts) if host in candidates]


def imports_route(sidecar: Config[Sidecar], config: Config[VirtualService], namespace: str) -> bool:
    """Whether some egress listener of a Sidecar that counts in `namespace` names a host of the VirtualService."""
    return _names_route([_patterns(listener, namespace) for listener in sidecar.object.spec.egress], config)


def imports_host(snapshot: MeshSnapshot, sidecar: Config[Sidecar], keys: Iterable[ServiceKey], namespace: str) -> bool:
    """Whether the scope of that Sidecar may have one of these services, whichever of its ports: an egress listener
    names it, or an imported VirtualService sends there."""
    egress = sidecar.object.spec.egress
    wanted = [_patterns(listener, namespace) for listener in egress]
    unwanted = [_excluded(listener, namespace) for listener in egress]
    for key in keys:
        for patterns, excluded in zip(wanted, unwanted, strict=True):
            if _names(patterns, key.namespace, key.host) and not _names(excluded, key.namespace, key.host):
                return True
        if any(_names_route(wanted, config) for config in snapshot.senders.to(key.host)):
            return True
    return False


def _names_route(listeners: Iterable[list[tuple[str, str]]], config: Config[VirtualService]) -> bool:
    hosts = route_hosts(config, "cluster.local")
    return any(_names(patterns, config.namespace, host, both_ways=True) for patterns in listeners for host in hosts)


def _on_port(service: Service, listener: EgressListener) -> Service | None:
    if listener.port is None or not listener.port.number or listener.port.protocol.upper() == "HTTP_PROXY":
        return service
    ports = tuple(port for port in service.ports if port.number == listener.port.number)
    return replace(service, ports=ports) if ports else None


def _united(known: Service, part: Service, whole: Service) -> Service:
    numbers = {port.number for port in (*known.ports, *part.ports)}
    ports = tuple(port for port in whole.ports if port.number in numbers)
    return whole if ports == whole.ports else replace(whole, ports=ports)
