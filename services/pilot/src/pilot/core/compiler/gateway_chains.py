"""Connections that a gateway does not read as HTTP: where bytes of TCP servers go, and which server names pass through.
Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from meshcore.hosts import host_matches, intersection
from meshcore.protocol import Protocol
from meshcore.xds.names import cluster_sni

from pilot.core.compiler.clients import client_of
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.discovery_type import is_eds
from pilot.core.compiler.gateway_routes import claimed_hosts, routes_of
from pilot.core.compiler.gateway_servers import GatewayServer
from pilot.core.compiler.tcp_proxy import USUAL, tcp_policy
from pilot.core.compiler.tcp_routes import TcpTarget, l4_target, server_names
from pilot.core.compiler.tls import ALL_ISTIO_ALPN
from pilot.core.diagnostics import Diagnostic
from pilot.core.registry import Service


@dataclass(frozen=True)
class PassedThrough:
    """A chain that matches the server name, and perhaps the protocols, of TLS that it does not end."""

    target: TcpTarget
    alpn: tuple[str, ...] = ()


def tcp_target(work: Compilation, server: GatewayServer, problems: list[Diagnostic]) -> TcpTarget | None:
    """Where a TCP server's bytes go: the first rule of the first VirtualService that has one for it."""
    port = server.server.port.number
    client = client_of(work.proxy_class, server.gateway)
    for config in routes_of(work, server):
        if not claimed_hosts(work, server, config):
            continue
        for rule in config.object.spec.tcp:
            if not rule.match or any(client.meets(match, port, config.namespace) for match in rule.match):
                target = l4_target(work, config, rule.route, port, problems, (), (), server.config.ref)
                return replace(target, is_mongo=server.server.protocol is Protocol.MONGO)
    return None


def passed_through(work: Compilation, server: GatewayServer, problems: list[Diagnostic]) -> Iterator[PassedThrough]:
    """The chains of a server that leaves TLS alone, in order of precedence.

    Of a rule's server names those count that the server lets the rule's namespace have: the others are somebody else's.
    """
    if server.is_auto_passthrough:
        yield from _by_cluster_name(work, server)
        return
    port = server.server.port.number
    client = client_of(work.proxy_class, server.gateway)
    for config in routes_of(work, server):
        if not claimed_hosts(work, server, config):
            continue
        allowed = server.hosts_for(config.namespace)
        for rule in config.object.spec.tls:
            for match in rule.match:
                if client.meets(match, port, config.namespace):
                    hosts = intersection(allowed, tuple(host.lower() for host in match.sni_hosts))
                    if not hosts:
                        continue
                    subnets, maker = match.destination_subnets, server.config.ref
                    yield PassedThrough(l4_target(work, config, rule.route, port, problems, subnets, hosts, maker))


def _by_cluster_name(work: Compilation, server: GatewayServer) -> Iterator[PassedThrough]:
    """The name that a sidecar of another network sends names port, subset and host: straight to that cluster."""
    for service in work.scope.services:
        if not serves(work, server, service):
            continue
        for port in service.ports:
            if port.protocol is Protocol.UDP:
                continue
            rule = work.rule(service)
            for subset in ("", *(item.name for item in rule.subsets)):
                name = cluster_sni(port.number, subset, service.host)
                policy = tcp_policy(rule, port.number, subset, tunnels=False)
                makers = (service.ref, server.config.ref, *(rule.makers(subset) if policy != USUAL else ()))
                target = TcpTarget(((name, 1),), name, (), server_names((name,)), origins=makers, policy=policy)
                yield PassedThrough(target, ALL_ISTIO_ALPN)


def serves(work: Compilation, server: GatewayServer, service: Service) -> bool:
    """Whether an AUTO_PASSTHROUGH server lets callers through to a service of the mesh."""
    if service.external or not is_eds(work.proxy_class, service):
        return False
    return any(host_matches(pattern, service.host) for pattern in server.hosts_for(service.namespace))
