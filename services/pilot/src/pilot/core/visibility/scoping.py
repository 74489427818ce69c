"""The scope of a class of proxies: the services, routes and rules that it is compiled from. Pure.

Services: exported to the class's namespace and named by its Sidecar's egress (default: everything). Of several services
for one host the class's own namespace wins, then Kubernetes, then the oldest. VirtualServices: those of the own
namespace, then those exported to it by name, then public ones, each by age (Istio: push context, sidecar scope).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from meshcore.hosts import host_matches, hosts_overlap, resolve_short_host
from meshcore.labels import selects
from meshcore.model import Sidecar, VirtualService
from meshcore.model.mesh_config import MeshOutboundMode
from meshcore.model.sidecar import EgressListener, OutboundMode
from meshcore.xds.names import ALLOW_ANY_DYNAMIC_DNS_CLUSTER, BLACK_HOLE_CLUSTER, PASSTHROUGH_CLUSTER, outbound_cluster

from pilot.core.config import Config, exported, oldest_first
from pilot.core.proxy import ProxyClass, ProxyType
from pilot.core.registry import Service
from pilot.core.registry.service import ServiceKey
from pilot.core.senders import destination_hosts
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.seen import (
    PublicRoutes,
    PublicServices,
    Routes,
    SeenServices,
    in_order,
    public_routes,
    public_services,
)


@dataclass(frozen=True, eq=False)
class Scope:
    """What a class of proxies is compiled from; `services` are the oldest first."""

    services: SeenServices
    virtual_services: Routes
    """Bound to the mesh, in the order of precedence."""
    sidecar: Config[Sidecar] | None
    unknown: str
    """The cluster of traffic to hosts that nobody knows: to where it was going, to where its name leads, to the
    Sidecar's egress proxy, or into the black hole."""
    ports: tuple[tuple[EgressListener, frozenset[str]], ...] = ()
    """The Sidecar's egress listeners with a port, and the hosts that each imports."""
    ahead: Routes = ()
    """Of the VirtualServices those that come before what everybody sees, where no Sidecar chooses."""
    behind: PublicRoutes | None = None
    """What everybody sees; None where a Sidecar chooses."""

    @property
    def by_host(self) -> Mapping[str, Service]:
        """The services by their hosts."""
        return self.services.by_host

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


class Seen(Protocol):
    """What scopes are made of; a memo of it gives the same objects again."""

    def services(self) -> SeenServices:
        """What `visible_services` gives."""

    def routes(self) -> PublicRoutes:
        """What `public_routes` gives."""


class Looking:
    """A `Seen` without a memory."""

    def __init__(self, snapshot: MeshSnapshot, proxy_class: ProxyClass) -> None:
        self._snapshot = snapshot
        self._class = proxy_class

    def services(self) -> SeenServices:
        """See `Seen`."""
        mesh = self._snapshot.mesh_config
        public = public_services(self._snapshot.registry.by_host, mesh)
        return SeenServices(seen(visible_services(self._snapshot, public, self._class.namespace), self._class))

    def routes(self) -> PublicRoutes:
        """See `Seen`."""
        return all_routes(self._snapshot)


def scope_for(snapshot: MeshSnapshot, proxy_class: ProxyClass, known: Seen | None = None) -> Scope:
    """The scope of that class; `known` may give what is looked for otherwise."""
    found = known if known is not None else Looking(snapshot, proxy_class)
    namespace = proxy_class.namespace
    sidecar = None
    if proxy_class.type is ProxyType.SIDECAR:
        sidecar = sidecar_for(snapshot, namespace, proxy_class.label_map)
    everybody = found.routes().of_mesh
    ahead, behind = _parted(snapshot, everybody, namespace)
    routes = (*ahead, *behind)
    if sidecar is None or not sidecar.object.spec.egress:
        return Scope(found.services(), routes, sidecar, _unknown(snapshot, sidecar), (), ahead, everybody)
    services, kept, ports = _imported(sidecar, _visible_hosts(snapshot, namespace), routes, namespace)
    ordered = SeenServices(seen(in_order(services), proxy_class))
    return Scope(ordered, tuple(kept), sidecar, _unknown(snapshot, sidecar), ports)


def visible_services(snapshot: MeshSnapshot, public: PublicServices, namespace: str) -> tuple[Service, ...]:
    """Everything that a namespace sees, oldest first, one service per host: the public ones themselves, if it sees no
    others."""
    others = []
    for services in public.others.values():
        visible = tuple(service for service in services if service_is_visible(snapshot, service, namespace))
        if visible:
            others.append(_chosen(visible, namespace))
    return in_order((*public.services, *others)) if others else public.services


def seen(services: Iterable[Service], one: ProxyClass) -> tuple[Service, ...]:
    """With the addresses that count for the class."""
    return tuple(service.seen_by(one.families, given=one.captures_dns) for service in services)


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


def all_routes(snapshot: MeshSnapshot) -> PublicRoutes:
    """The VirtualServices of a mesh."""
    return public_routes(snapshot.by_namespace.get("VirtualService", {}), snapshot.mesh_config)


def visible_routes(snapshot: MeshSnapshot, namespace: str) -> Routes:
    """Every VirtualService with hosts that a namespace sees, in the order of precedence."""
    ahead, behind = _parted(snapshot, all_routes(snapshot), namespace)
    return (*ahead, *behind)


def _parted(snapshot: MeshSnapshot, known: PublicRoutes, namespace: str) -> tuple[Routes, Routes]:
    """The namespace's own and those that are exported to it by name; those of everybody else."""
    own = [config for config in known.private if config.namespace == namespace]
    if namespace in snapshot.by_namespace.get("VirtualService", {}):
        own += known.of(namespace)
    named = (config for config in known.private if config.namespace != namespace)
    ahead = (
        config for config in (*oldest_first(own), *named) if virtual_service_is_visible(snapshot, config, namespace)
    )
    return tuple(ahead), known.of_others(namespace)


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
    routes: Routes,
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
