"""What all namespaces see alike, found once for every class of proxies, and the services of a scope with the look-ups
that compiling them takes. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from meshcore.model import VirtualService
from meshcore.model.mesh_config import MeshConfig

from pilot.core.config import PUBLIC, Config, oldest_first
from pilot.core.gateway_name import MESH_GATEWAY
from pilot.core.registry import Port, Service
from pilot.core.registry.service import ServiceKey

Routes = tuple[Config[VirtualService], ...]


class SeenServices(tuple[Service, ...]):
    """The services of a scope, the oldest first, one for a host. Classes that see the same share one."""

    @cached_property
    def by_host(self) -> Mapping[str, Service]:
        """Each by its host."""
        return {service.host: service for service in self}

    @cached_property
    def keys(self) -> tuple[ServiceKey, ...]:
        """Hosts and namespaces, in the same order."""
        return tuple(service.key for service in self)

    @cached_property
    def on_port(self) -> Mapping[int, tuple[tuple[Service, Port], ...]]:
        """By number: the services with a port of it."""
        found: dict[int, dict[int, tuple[Service, Port]]] = {}
        for place, service in enumerate(self):
            for port in service.ports:
                found.setdefault(port.number, {}).setdefault(place, (service, port))
        return {number: tuple(named.values()) for number, named in found.items()}

    @cached_property
    def headless(self) -> tuple[Service, ...]:
        """Those that are their endpoints."""
        return tuple(service for service in self if service.headless)

    @cached_property
    def of_bytes(self) -> tuple[Service, ...]:
        """Those with a port that is not plain HTTP."""
        return tuple(service for service in self if not all(port.protocol.is_http for port in service.ports))

    @cached_property
    def aliases(self) -> Mapping[str, tuple[Service, ...]]:
        """By host: the services that are other names for it."""
        found: dict[str, tuple[Service, ...]] = {}
        for service in self:
            if service.alias_of:
                found[service.alias_of] = (*found.get(service.alias_of, ()), service)
        return found


@dataclass(frozen=True, eq=False)
class PublicServices:
    """Hosts of one service that is exported to everybody, the oldest first; the candidates of every other host."""

    services: tuple[Service, ...]
    others: Mapping[str, tuple[Service, ...]]


def public_services(by_host: Mapping[str, tuple[Service, ...]], mesh: MeshConfig) -> PublicServices:
    """Part the services of a mesh."""
    everybody, others = [], {}
    for host, services in by_host.items():
        if len(services) == 1 and PUBLIC in (services[0].export_to or mesh.default_service_export_to):
            everybody.append(services[0])
        else:
            others[host] = services
    return PublicServices(in_order(everybody), others)


def in_order(services: Iterable[Service]) -> tuple[Service, ...]:
    """The oldest first."""
    return tuple(sorted(services, key=lambda service: (service.age, service.host)))


@dataclass(frozen=True, eq=False)
class PublicRoutes:
    """VirtualServices with hosts, the oldest first: those exported to everybody, and the others."""

    public: Routes
    private: Routes

    @cached_property
    def _owners(self) -> tuple[str, ...]:
        return tuple(config.namespace for config in self.public)

    def of(self, namespace: str) -> Routes:
        """Those of one namespace among the public ones."""
        return tuple(config for config, owner in zip(self.public, self._owners, strict=True) if owner == namespace)

    def of_others(self, namespace: str) -> Routes:
        """Those of all others."""
        return tuple(config for config, owner in zip(self.public, self._owners, strict=True) if owner != namespace)

    @cached_property
    def of_mesh(self) -> "PublicRoutes":
        """Those alone that are bound to the mesh."""
        return PublicRoutes(tuple(filter(_is_of_mesh, self.public)), tuple(filter(_is_of_mesh, self.private)))


def public_routes(spaces: Mapping[str, Routes], mesh: MeshConfig) -> PublicRoutes:
    """Part the VirtualServices of a mesh."""
    public: list[Config[VirtualService]] = []
    private: list[Config[VirtualService]] = []
    for configs in spaces.values():
        for config in configs:
            spec = config.object.spec
            if spec.hosts:
                targets = spec.export_to or mesh.default_virtual_service_export_to
                (public if PUBLIC in targets else private).append(config)
    return PublicRoutes(oldest_first(public), oldest_first(private))


def changed_routes(before: Routes, after: Routes) -> Routes:
    """Those that one of the two has and the other has not."""
    then, now = set(map(id, before)), set(map(id, after))
    return tuple(config for config in (*before, *after) if id(config) not in then or id(config) not in now)


def _is_of_mesh(config: Config[VirtualService]) -> bool:
    gateways = config.object.spec.gateways
    return not gateways or MESH_GATEWAY in gateways
