"""Route configurations of gateways: the hosts of the servers that share one, with the VirtualServices bound to them.
Pure.

A virtual host is a host that a server and a VirtualService have in common. Unlike on sidecars several VirtualServices
on one host are joined, routes without conditions last; hosts with the same routes become one (Istio: core/gateway.go).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from envoy.config.route.v3 import route_components_pb2, route_pb2
from meshcore.hosts import intersection
from meshcore.model import VirtualService
from meshcore.xds.names import virtual_host_name
from meshcore.xds.origin import ConfigRef, distinct
from meshcore.xds.types import ROUTE_TYPE

from pilot.core.compiler.cache import Same
from pilot.core.compiler.clients import client_of
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.destinations import resolve
from pilot.core.compiler.gateway_servers import GatewayServer, merged_servers
from pilot.core.compiler.messages import boolean, provenance, uint32
from pilot.core.compiler.routes import MAX_DIRECT_RESPONSE
from pilot.core.compiler.virtual_service import Rules, destinations_of, http_routes, survivors_of
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic
from pilot.core.visibility.gateways import bound_routes
from pilot.core.visibility.scoping import route_hosts

_HOST = route_components_pb2.VirtualHost
Built = tuple[tuple[route_components_pb2.Route, ...], tuple[Diagnostic, ...]]


def gateway_routes(work: Compilation) -> Iterator[Compiled]:
    """One for each port of plain HTTP, one for each server that ends TLS of HTTPS."""
    shared: dict[str, list[GatewayServer]] = {}
    for server in merged_servers(work).servers:
        if server.server.is_http:
            shared.setdefault(server.route_name, []).append(server)
    scope, one = work.scope, work.proxy_class
    for name, servers in sorted(shared.items()):
        bound = tuple(item for server in servers for item in routes_of(work, server))
        key: tuple[object, ...] = (ROUTE_TYPE, name, one.domain, one.labels, work.rules_key, Same(scope.services))
        key += (tuple(map(Same, servers)), tuple(map(Same, bound)))
        yield work.memo(key, partial(_configuration, work, name, servers))


def routes_of(work: Compilation, server: GatewayServer) -> tuple[Config[VirtualService], ...]:
    """The VirtualServices that are bound to the server's Gateway and that this class sees."""
    snapshot, namespace = work.snapshot, work.proxy_class.namespace
    key = ("bound-routes", namespace, Same(snapshot.by_namespace.get("VirtualService")), Same(work.mesh))
    return work.memo(key, lambda: bound_routes(snapshot, namespace)).get(server.gateway, ())


def claimed_hosts(work: Compilation, server: GatewayServer, config: Config[VirtualService]) -> tuple[str, ...]:
    """What the server and a VirtualService have in common."""
    return intersection(server.hosts_for(config.namespace), route_hosts(config, work.proxy_class.domain))


@dataclass
class _Host:
    """A virtual host in the making."""

    routes: list[route_components_pb2.Route] = field(default_factory=list)
    redirects: bool = False
    origins: list[ConfigRef] = field(default_factory=list)


def _configuration(work: Compilation, name: str, servers: list[GatewayServer]) -> Compiled:
    hosts: dict[str, _Host] = {}
    problems: dict[Diagnostic, None] = {}
    for server in servers:
        for config in routes_of(work, server):
            claimed = claimed_hosts(work, server, config)
            routes, found = _built(work, server, config) if claimed else ((), ())
            problems.update(dict.fromkeys(found))
            for host in claimed if routes else ():
                slot = hosts.setdefault(host, _Host())
                slot.routes.extend(routes)
                slot.origins += [*config.refs, server.config.ref.unversioned]
                slot.redirects |= server.redirects
        if server.redirects:
            for host in server.names():
                slot = hosts.setdefault(host, _Host(origins=[server.config.ref.unversioned]))
                slot.redirects = True
    port = servers[0].server.port.number
    made = route_pb2.RouteConfiguration(
        name=name,
        virtual_hosts=_collapsed(hosts, port),
        validate_clusters=boolean(False),
        max_direct_response_body_size_bytes=uint32(MAX_DIRECT_RESPONSE),
        ignore_port_in_host_matching=True,
    )
    origins = [origin for slot in hosts.values() for origin in slot.origins]
    origins += [server.config.ref for server in servers]
    return packed(ROUTE_TYPE, name, made, tuple(problems), beside=distinct(origins))


def _built(work: Compilation, server: GatewayServer, config: Config[VirtualService]) -> Built:
    """A VirtualService's routes for what comes through the gateway on the port that the server declares."""
    mesh, port = work.mesh, server.server.port.number
    survivors = survivors_of(config, port, client_of(work.proxy_class, server.gateway))
    destinations = {(item.host, item.subset): resolve(work, item, config.namespace) for item in destinations_of(config)}
    key: tuple[object, ...] = ("gateway-rules", Same(config), port, survivors, Same(mesh))
    key += tuple((*place, found.host, Same(found.service), Same(found.rule)) for place, found in destinations.items())

    def build() -> Built:
        made, problems = http_routes(Rules(config, port, survivors, destinations), mesh)
        return tuple(made), problems

    return work.memo(key, build)


def _collapsed(hosts: dict[str, _Host], port: int) -> list[route_components_pb2.VirtualHost]:
    """Sorted by host; the first of those with the same routes gives the name."""
    if not hosts:
        return [_HOST(name=f"blackhole:{port}", domains=["*"])]
    made: dict[bytes, route_components_pb2.VirtualHost] = {}
    for host in sorted(hosts):
        slot = hosts[host]
        body = _HOST(routes=_catch_alls_last(slot.routes), include_request_attempt_count=True)
        if slot.redirects:
            body.require_tls = _HOST.ALL
        body.metadata.CopyFrom(provenance(origins=distinct(slot.origins)))
        same = made.setdefault(body.SerializeToString(deterministic=True), body)
        same.name = same.name or virtual_host_name(host, port)
        same.domains.append(f"[{host}]" if ":" in host else host)
    return list(made.values())


def _catch_alls_last(routes: list[route_components_pb2.Route]) -> list[route_components_pb2.Route]:
    return sorted(routes, key=_takes_everything)


def _takes_everything(route: route_components_pb2.Route) -> bool:
    match = route.match
    if match.headers or match.query_parameters or match.dynamic_metadata:
        return False
    return bool(match.prefix == "/" or match.safe_regex.regex == ".*")
