"""Virtual hosts: what a service, or a host that only a VirtualService names, brings into a route configuration. Pure.

A virtual host depends on its service, its VirtualService and the destinations of that. Classes that see all of it alike
share it, laid out once.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, partial
from hashlib import blake2b

from envoy.config.route.v3 import route_components_pb2
from google.protobuf import duration_pb2
from meshcore.hosts import is_wildcard, most_specific
from meshcore.model import VirtualService
from meshcore.model.mesh_config import MeshConfig
from meshcore.xds import wire
from meshcore.xds.names import (
    ALLOW_ANY_DYNAMIC_DNS_CLUSTER,
    BLACK_HOLE_CLUSTER,
    outbound_cluster,
    virtual_host_name,
)
from meshcore.xds.origin import VIRTUAL_HOST_METADATA, ConfigRef, Origins, metadata_field

from pilot.core.compiler.cache import Same
from pilot.core.compiler.clients import Client
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.destinations import Chosen, resolve
from pilot.core.compiler.domains import Caller, domains_of, with_port
from pilot.core.compiler.host_rules import host_rules
from pilot.core.compiler.persistent_sessions import keep_session
from pilot.core.compiler.virtual_service import Rules, default_route, destinations_of, http_routes, survivors_of
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic
from pilot.core.registry import Port, Service
from pilot.core.visibility.scoping import route_hosts

_HOST = route_components_pb2.VirtualHost
_SERVICES = frozenset({"Service", "ServiceEntry"})
_NO_HOSTS: frozenset[str] = frozenset()


def digest_of(laid_out: bytes) -> bytes:
    """Stands for a virtual host in the version of a route configuration, which is a thousand times as long."""
    return blake2b(laid_out, digest_size=16).digest()


@dataclass(frozen=True, eq=False)
class HostPart:
    """One virtual host as it would have it: all the domains that it asks for."""

    name: str
    domains: tuple[str, ...]
    body: bytes
    """All of it but name and domains, which come first in the wire form."""
    origins: Origins = ()
    problems: tuple[Diagnostic, ...] = ()
    port: int = 0
    config: Config[VirtualService] | None = None
    """Whose rules it has."""
    uses: frozenset[str] = _NO_HOSTS
    """Other hosts by which it is what it is: the destinations of its rules."""
    has_company: bool = False
    """Whether its VirtualService is for other hosts, too."""

    @cached_property
    def made_of(self) -> tuple[tuple[ConfigRef, ConfigRef], ...]:
        """Its origins, each by the object that it is a revision of."""
        return tuple((origin.unversioned, origin) for origin in self.origins)

    @cached_property
    def refs(self) -> tuple[ConfigRef, ...]:
        """The objects that it is made of, whatever their revisions."""
        return tuple(ref for ref, _ in self.made_of)

    @cached_property
    def laid_out(self) -> bytes:
        """Its field of a route configuration, with all its domains."""
        return self.laid_out_with(self.domains)

    @cached_property
    def digest(self) -> bytes:
        """Stands for `laid_out`."""
        return digest_of(self.laid_out)

    def laid_out_with(self, domains: Iterable[str]) -> bytes:
        """The same with these domains."""
        return wire.chunk(2, wire.text(1, self.name) + b"".join(wire.text(2, one) for one in domains) + self.body)


def service_host(work: Compilation, service: Service, port: Port, *, proxy: bool, only: bool = False) -> HostPart:
    """That of a service's port; `proxy`: told apart by the port in the request's host; `only`: it has all requests."""
    config = _config_for(work, service.host, port.number)
    routes = _routes_of(work, service, port, config)
    one = work.proxy_class
    maker = work.rule(service) if config is None else config
    aliases = work.scope.services.aliases.get(service.host, ())
    near = one.namespace if aliases or service.host.endswith(work.own_suffix) else ""
    caller = (one.domain, one.search, near)
    key = (
        "virtual-host",
        Same(service),
        port.number,
        proxy,
        only,
        caller,
        Same(routes),
        Same(maker),
        *map(Same, aliases),
    )

    def build() -> HostPart:
        called = Caller(one.namespace, one.domain, one.search)
        domains: tuple[str, ...] = ("*",) if only else domains_of(service, aliases, called)
        origins = _makers(work, service, port, config)
        return _part(
            service.host, with_port(domains, port.number) if proxy else domains, routes, origins, port.number, config
        )

    return work.memo(key, build)


def unknown_hosts(work: Compilation, number: int, known: Iterable[HostPart], *, proxy: bool) -> Iterator[HostPart]:
    """A VirtualService may name hosts that no registry has; they are served on port 80, and on the ports of services
    that it names beside them (Istio's rule). `known` are those of services."""
    rules, domain, by_host = host_rules(work), work.proxy_class.domain, work.scope.by_host
    wanted = [(host, number) for host in (*rules.exact, *rules.wildcard) if host not in by_host] if number == 80 else []
    company = (part for part in known if part.has_company) if rules.has_company else ()
    ruled = {(part.port, part.config.path): part.config for part in company if part.config}
    for (port, path), beside in ruled.items():
        for host in route_hosts(beside, domain):
            config = None if host in by_host else _config_for(work, host, port)
            if config is not None and config.path == path:
                wanted.append((host, port))
    for host, port in dict.fromkeys(wanted):
        config = _config_for(work, host, port)
        if config is None or (is_wildcard(host) and any(most_specific((host,), known) for known in by_host)):
            continue
        routes = _rules_of(work, config, port)
        domains = with_port((host,), port) if proxy else (host,)
        key = ("unknown-host", host, port, proxy, Same(routes), Same(config))
        yield work.memo(key, partial(_part, host, domains, routes, config.refs, port, config))


def _part(
    host: str,
    domains: Iterable[str],
    routes: "_Routes",
    origins: Origins,
    port: int,
    config: Config[VirtualService] | None,
) -> HostPart:
    # A service keeps its revision over changes that it does not show, which another Pilot need not have seen: these
    # bytes must be the same in both.
    written = tuple(item.unversioned if item.kind in _SERVICES else item for item in origins)
    body = routes.body + metadata_field(VIRTUAL_HOST_METADATA, written)
    asked = tuple(dict.fromkeys(map(str.lower, domains)))
    company = config is not None and len(config.object.spec.hosts) > 1
    name = virtual_host_name(host, port)
    return HostPart(name, asked, body, origins, routes.problems, port, config, routes.uses, company)


@dataclass(frozen=True, eq=False)
class _Routes:
    """The routes of a virtual host, and the hosts that they lead to."""

    body: bytes
    problems: tuple[Diagnostic, ...] = ()
    uses: frozenset[str] = _NO_HOSTS


def _makers(work: Compilation, service: Service, port: Port, config: Config[VirtualService] | None) -> Origins:
    """What a service's virtual host is made of: its VirtualService, or the rule that says how to hash, and itself."""
    if config is not None:
        return *config.refs, service.ref
    rule = work.rule(service)
    settings = rule.policy_of(port.number).load_balancer
    hashing = rule.makers() if settings is not None and settings.consistent_hash is not None else ()
    return (*hashing, service.ref)


def _routes_of(work: Compilation, service: Service, port: Port, config: Config[VirtualService] | None) -> _Routes:
    if config is not None:
        return _rules_of(work, config, port.number)
    rule, mesh = work.rule(service), work.mesh
    key = ("default-route", service.host, port.number, service.session, Same(rule), Same(mesh))
    return work.memo(key, lambda: _Routes(_default_body(service, port, rule.policy_of(port.number), mesh)))


def _config_for(work: Compilation, host: str, port: int) -> Config[VirtualService] | None:
    """The first VirtualService of which some rule counts for this class on this port; others leave the host alone."""
    found = host_rules(work).of(host).http
    return next((config for config in found if _counts(config, port, work.client)), None) if found else None


def _counts(config: Config[VirtualService], port: int, client: Client) -> bool:
    return any(kept is not None for kept in survivors_of(config, port, client))


def _rules_of(work: Compilation, config: Config[VirtualService], port: int) -> _Routes:
    mesh = work.mesh
    survivors = survivors_of(config, port, work.client)
    destinations = {(item.host, item.subset): resolve(work, item, config.namespace) for item in destinations_of(config)}
    key: tuple[object, ...] = ("routes", Same(config), port, survivors, Same(mesh))
    key += tuple((*place, found.host, Same(found.service), Same(found.rule)) for place, found in destinations.items())

    def build() -> _Routes:
        made, problems = http_routes(Rules(config, port, survivors, destinations), mesh)
        return _Routes(routes_body(made), problems, frozenset(found.host for found in destinations.values()))

    return work.memo(key, build)


def _default_body(service: Service, port: Port, policy: object, mesh: MeshConfig) -> bytes:
    cluster = outbound_cluster(port.number, "", service.host)
    settings = getattr(policy, "load_balancer", None)
    chosen = Chosen(cluster, settings.consistent_hash if settings else None)
    made = default_route(cluster, f"{service.host}:{port.number}/*", mesh, chosen)
    keep_session(made, service)
    return routes_body([made])


def routes_body(routes: list[route_components_pb2.Route]) -> bytes:
    """All of a virtual host but its name and domains, which come first in the wire form."""
    made: bytes = _HOST(routes=routes, include_request_attempt_count=True).SerializeToString(deterministic=True)
    return made


_CATCH_ALL = {BLACK_HOLE_CLUSTER: "block_all", ALLOW_ANY_DYNAMIC_DNS_CLUSTER: "allow_any_dynamic_dns"}


@cache
def catch_all(unknown: str) -> HostPart:
    """What becomes of hosts that nobody knows: passed on to that cluster, or 502."""
    allow = unknown != BLACK_HOLE_CLUSTER
    name = _CATCH_ALL.get(unknown, "allow_any")
    route = route_components_pb2.Route(name=name, match=route_components_pb2.RouteMatch(prefix="/"))
    if allow:
        route.route.cluster = unknown
        route.route.timeout.CopyFrom(duration_pb2.Duration())
    else:
        route.direct_response.status = 502
    return HostPart(name, ("*",), routes_body([route]))
