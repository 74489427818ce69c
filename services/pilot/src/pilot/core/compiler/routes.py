"""Route configurations: one per outbound HTTP port, one per sniffed service, one for the HTTP proxy. Pure.

A virtual host depends on its service, its VirtualService and the destinations of that; its bytes are kept, and a route
configuration is joined from them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial

from envoy.config.route.v3 import route_components_pb2, route_pb2
from google.protobuf import duration_pb2
from meshcore.hosts import is_wildcard, most_specific
from meshcore.model import VirtualService
from meshcore.model.mesh_config import MeshConfig
from meshcore.protocol import Protocol
from meshcore.xds import wire
from meshcore.xds.names import (
    ALLOW_ANY_DYNAMIC_DNS_CLUSTER,
    BLACK_HOLE_CLUSTER,
    HTTP_PROXY_ROUTE,
    PASSTHROUGH_CLUSTER,
    outbound_cluster,
    service_route_name,
    virtual_host_name,
)
from meshcore.xds.origin import VIRTUAL_HOST_METADATA, ConfigRef, Origins, distinct, metadata_field
from meshcore.xds.types import ROUTE_TYPE

from pilot.core.compiler.cache import Same
from pilot.core.compiler.clients import Client, client_of
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.destinations import Chosen, resolve
from pilot.core.compiler.domains import Caller, domains_of, with_port
from pilot.core.compiler.host_rules import host_rules
from pilot.core.compiler.messages import boolean, uint32
from pilot.core.compiler.persistent_sessions import keep_session
from pilot.core.compiler.virtual_service import Rules, default_route, destinations_of, http_routes, survivors_of
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic
from pilot.core.proxy import Interception
from pilot.core.registry import Port, Resolution, Service
from pilot.core.visibility.scoping import route_hosts

MAX_DIRECT_RESPONSE = 1 << 20
_HOST = route_components_pb2.VirtualHost
_SERVICES = frozenset({"Service", "ServiceEntry"})


@dataclass
class _Hosts:
    """The virtual hosts of one route configuration, in the making."""

    taken: set[str] = field(default_factory=set)
    named: dict[str, bytes] = field(default_factory=dict)
    origins: list[ConfigRef] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)
    ruled: dict[tuple[int, str], Config[VirtualService]] = field(default_factory=dict)
    """VirtualServices that have services here, by port and path."""

    def add(self, name: str, domains: Iterable[str], body: bytes, origins: Origins = ()) -> None:
        """The first of a name wins, and the first to ask for a domain gets it."""
        free = [domain for domain in dict.fromkeys(map(str.lower, domains)) if domain not in self.taken]
        if name in self.named or not free:
            return
        self.taken.update(free)
        made = wire.text(1, name) + b"".join(wire.text(2, domain) for domain in free) + body
        if origins:
            # A service keeps its revision over changes that it does not show, which another Pilot need not have seen:
            # these bytes must be the same in both.
            written = tuple(item.unversioned if item.kind in _SERVICES else item for item in origins)
            made += metadata_field(VIRTUAL_HOST_METADATA, written)
        self.named[name] = made
        self.origins.extend(origins)


def port_routes(work: Compilation, number: int) -> Compiled:
    """The route configuration of a captured port."""
    hosts = _Hosts()
    imported = work.scope.hosts_on(number)
    for service in work.scope.services:
        if imported is not None and service.host not in imported:
            continue
        port = service.port(number)
        if (
            port is not None
            and (_is_routed(port) or imported is not None)
            and service.resolution is not Resolution.ALIAS
        ):
            _add_service(work, hosts, service, port, proxy=False)
    _add_unknown_hosts(work, hosts, number, proxy=False)
    return _finished(work, str(number), hosts, catch_all=True, ignore_port=True)


def proxy_routes(work: Compilation, name: str = HTTP_PROXY_ROUTE) -> Compiled:
    """The route configuration of the HTTP proxy, or of a socket: every HTTP port of every service, told apart by the
    host's port."""
    hosts = _Hosts()
    for service in work.scope.services:
        for port in service.ports:
            if _is_routed(port) and service.resolution is not Resolution.ALIAS:
                _add_service(work, hosts, service, port, proxy=True)
    _add_unknown_hosts(work, hosts, 80, proxy=True)
    return _finished(work, name, hosts, catch_all=True, ignore_port=False)


def service_routes(work: Compilation, service: Service, port: Port) -> Compiled:
    """The route configuration of one sniffed port on the service's own address."""
    hosts = _Hosts()
    _add_service(work, hosts, service, port, proxy=False, only=True)
    return _finished(work, service_route_name(service.host, port.number), hosts, catch_all=False, ignore_port=True)


def _is_routed(port: Port) -> bool:
    return port.protocol.is_http or port.protocol is Protocol.AUTO


def _add_service(
    work: Compilation, hosts: _Hosts, service: Service, port: Port, *, proxy: bool, only: bool = False
) -> None:
    config = _config_for(work, service.host, port.number)
    body, problems = _routes_of(work, service, port, config)
    if config is not None:
        hosts.ruled[port.number, config.path] = config
    one = work.proxy_class
    aliases = [item for item in work.scope.services if item.alias_of == service.host] if _has_aliases(work) else []
    domains = ("*",) if only else domains_of(service, aliases, Caller(one.namespace, one.domain, one.search))
    if proxy:
        domains = with_port(domains, port.number)
    hosts.add(virtual_host_name(service.host, port.number), domains, body, _makers(work, service, port, config))
    hosts.problems.extend(problems)


def _makers(work: Compilation, service: Service, port: Port, config: Config[VirtualService] | None) -> Origins:
    """What a service's virtual host is made of: its VirtualService, or the rule that says how to hash, and itself."""
    if config is not None:
        return *config.refs, service.ref
    rule = work.rule(service)
    settings = rule.policy_of(port.number).load_balancer
    hashing = rule.makers() if settings is not None and settings.consistent_hash is not None else ()
    return (*hashing, service.ref)


def _has_aliases(work: Compilation) -> bool:
    scope = work.scope
    return work.memo(("aliases", Same(scope)), lambda: any(item.alias_of for item in scope.services))


def _routes_of(
    work: Compilation, service: Service, port: Port, config: Config[VirtualService] | None
) -> tuple[bytes, tuple[Diagnostic, ...]]:
    mesh = work.mesh
    if config is None:
        rule = work.rule(service)
        key = ("default-route", service.host, port.number, service.session, Same(rule), Same(mesh))
        return work.memo(key, lambda: (_default_body(service, port, rule.policy_of(port.number), mesh), ()))
    return _rules_of(work, config, port.number)


def _config_for(work: Compilation, host: str, port: int) -> Config[VirtualService] | None:
    """The first VirtualService of which some rule counts for this class on this port; others leave the host alone."""
    client = client_of(work.proxy_class)
    return next((config for config in host_rules(work).of(host).http if _counts(config, port, client)), None)


def _counts(config: Config[VirtualService], port: int, client: Client) -> bool:
    return any(kept is not None for kept in survivors_of(config, port, client))


def _rules_of(work: Compilation, config: Config[VirtualService], port: int) -> tuple[bytes, tuple[Diagnostic, ...]]:
    mesh = work.mesh
    survivors = survivors_of(config, port, client_of(work.proxy_class))
    destinations = {(item.host, item.subset): resolve(work, item, config.namespace) for item in destinations_of(config)}
    key: tuple[object, ...] = ("routes", Same(config), port, survivors, Same(mesh))
    key += tuple((*place, found.host, Same(found.service), Same(found.rule)) for place, found in destinations.items())

    def build() -> tuple[bytes, tuple[Diagnostic, ...]]:
        made, problems = http_routes(Rules(config, port, survivors, destinations), mesh)
        return _body(made), problems

    return work.memo(key, build)


def _default_body(service: Service, port: Port, policy: object, mesh: MeshConfig) -> bytes:
    cluster = outbound_cluster(port.number, "", service.host)
    settings = getattr(policy, "load_balancer", None)
    chosen = Chosen(cluster, settings.consistent_hash if settings else None)
    made = default_route(cluster, f"{service.host}:{port.number}/*", mesh, chosen)
    keep_session(made, service)
    return _body([made])


def _body(routes: list[route_components_pb2.Route]) -> bytes:
    """All of a virtual host but its name and domains, which come first in the wire form."""
    made: bytes = _HOST(routes=routes, include_request_attempt_count=True).SerializeToString(deterministic=True)
    return made


def _add_unknown_hosts(work: Compilation, hosts: _Hosts, number: int, *, proxy: bool) -> None:
    """A VirtualService may name hosts that no registry has; they are served on port 80, and on the ports of services
    that it names beside them (Istio's rule)."""
    rules, domain = host_rules(work), work.proxy_class.domain
    wanted = [(host, number) for host in (*rules.exact, *rules.wildcard)] if number == 80 else []
    for (port, path), beside in hosts.ruled.items():
        for host in route_hosts(beside, domain):
            config = _config_for(work, host, port)
            if config is not None and config.path == path:
                wanted.append((host, port))
    for host, port in dict.fromkeys(wanted):
        config = _config_for(work, host, port)
        if host in work.scope.by_host or config is None or _covers_known(host, work):
            continue
        body, problems = _rules_of(work, config, port)
        domains = with_port((host,), port) if proxy else (host,)
        hosts.add(virtual_host_name(host, port), domains, body, config.refs)
        hosts.problems.extend(problems)


def _covers_known(host: str, work: Compilation) -> bool:
    """A wildcard that stands for services of the registry is no host of its own."""
    return is_wildcard(host) and any(most_specific((host,), known) for known in work.scope.by_host)


def _finished(work: Compilation, name: str, hosts: _Hosts, *, catch_all: bool, ignore_port: bool) -> Compiled:
    if catch_all:
        uncaptured = work.proxy_class.interception is Interception.NONE
        unknown = work.scope.unknown
        if uncaptured and unknown == PASSTHROUGH_CLUSTER:  # nothing was dialled that could be passed on to
            unknown = BLACK_HOLE_CLUSTER
        key, body = _catch_all(unknown)
        hosts.add(key, ("*",), body)
    bodies = [hosts.named[key] for key in sorted(hosts.named)]
    joined = b"".join(wire.chunk(2, body) for body in bodies)
    made = wire.text(1, name) + joined + _settings(ignore_port)
    origins = distinct(hosts.origins) or work.mesh_origins
    return packed(ROUTE_TYPE, name, made, tuple(dict.fromkeys(hosts.problems)), beside=origins)


@cache
def _settings(ignore_port: bool) -> bytes:
    made: bytes = route_pb2.RouteConfiguration(
        validate_clusters=boolean(False),
        max_direct_response_body_size_bytes=uint32(MAX_DIRECT_RESPONSE),
        ignore_port_in_host_matching=ignore_port,
    ).SerializeToString(deterministic=True)
    return made


def unknown_routes(unknown: str) -> route_pb2.RouteConfiguration:
    """The routes of requests that no captured port is for."""
    name, body = _catch_all(unknown)
    made = wire.text(1, name) + wire.chunk(2, wire.text(1, name) + wire.text(2, "*") + body) + _settings(True)
    return route_pb2.RouteConfiguration.FromString(made)


_CATCH_ALL = {BLACK_HOLE_CLUSTER: "block_all", ALLOW_ANY_DYNAMIC_DNS_CLUSTER: "allow_any_dynamic_dns"}


@cache
def _catch_all(unknown: str) -> tuple[str, bytes]:
    """What becomes of hosts that nobody knows: passed on to that cluster, or 502."""
    allow = unknown != BLACK_HOLE_CLUSTER
    name = _CATCH_ALL.get(unknown, "allow_any")
    route = route_components_pb2.Route(name=name, match=route_components_pb2.RouteMatch(prefix="/"))
    if allow:
        route.route.cluster = unknown
        route.route.timeout.CopyFrom(duration_pb2.Duration())
    else:
        route.direct_response.status = 502
    return name, _body([route])


def route_resources(work: Compilation, names: Iterable[str]) -> Iterator[Compiled]:
    """The route configurations of these names; see `listeners_outbound.route_names`."""
    scope, one = work.scope, work.proxy_class
    ports = tuple((listener.port.number if listener.port else 0, hosts) for listener, hosts in scope.ports)
    traits = (one.domain, one.search, one.interception is Interception.NONE, scope.unknown, ports, work.rules_key)
    for name in sorted(set(names)):
        key = (ROUTE_TYPE, name, traits, Same(scope.services), tuple(map(Same, scope.virtual_services)))
        made = work.memo(key, partial(_route_resource, work, name))
        if made is not None:
            yield made


def _route_resource(work: Compilation, name: str) -> Compiled | None:
    if name == HTTP_PROXY_ROUTE or name.startswith("unix://"):
        return proxy_routes(work, name)
    if name.isdigit():
        return port_routes(work, int(name))
    host, _, number = name.rpartition(":")
    service = work.scope.by_host[host]
    port = service.port(int(number))
    return service_routes(work, service, port) if port is not None else None
