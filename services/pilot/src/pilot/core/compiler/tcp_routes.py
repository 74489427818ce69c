"""Where TCP and TLS connections go: VirtualService's tcp and tls rules as filter chains. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_network

from envoy.config.listener.v3 import listener_components_pb2
from meshcore.model import VirtualService
from meshcore.model.destination_rule import TlsMode
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.virtual_service import Destination, RouteDestination
from meshcore.protocol import Protocol
from meshcore.xds.names import BLACK_HOLE_CLUSTER, outbound_cluster
from meshcore.xds.origin import ConfigRef, Origins

from pilot.core.compiler.clients import client_of
from pilot.core.compiler.context import Compilation, service_port
from pilot.core.compiler.destinations import Resolved, choose, resolve
from pilot.core.compiler.dynamic_dns import Lookup, lookup_of
from pilot.core.compiler.host_rules import host_rules
from pilot.core.compiler.stat_prefix import outbound_stat_prefix
from pilot.core.compiler.tcp_proxy import (
    USUAL,
    TcpPolicy,
    bytes_alpn,
    mongo_proxy,
    tcp_policy,
    tcp_proxy,
    weighted_tcp_proxy,
)
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic, Severity
from pilot.core.proxy import ProxyType
from pilot.core.registry import Port, Service


@dataclass(frozen=True)
class TcpTarget:
    """One chain's part: what it matches beyond the address, the clusters by weight, and who decided."""

    clusters: tuple[tuple[str, int], ...]
    stat_prefix: str
    subnets: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ()
    config: str = ""
    origins: Origins = ()
    lookup: Lookup | None = None
    """Whether the server name leads somewhere that has to be found first."""
    says_bytes: bool = False
    """Whether the ALPN of the connection has to say that it is no HTTP: the server sniffs, the cluster assumes HTTP."""
    policy: TcpPolicy = USUAL
    is_mongo: bool = False

    def filters(self, mesh: MeshConfig) -> list[listener_components_pb2.Filter]:
        """The network filters of the chain."""
        if len(self.clusters) == 1:
            proxy = tcp_proxy(self.clusters[0][0], mesh, self.stat_prefix, self.policy)
        else:
            proxy = weighted_tcp_proxy(self.clusters, mesh, self.stat_prefix, self.policy)
        before = [self.lookup.filter(mesh)] if self.lookup is not None else []
        before += [bytes_alpn()] if self.says_bytes else []
        before += [mongo_proxy(self.stat_prefix)] if self.is_mongo else []
        return [*before, proxy]


def tcp_targets(
    work: Compilation, service: Service, port: Port, *, by_address: bool = True
) -> tuple[tuple[TcpTarget, ...], tuple[Diagnostic, ...]]:
    """Chains for a service's port in order; the last one takes every connection to the service.

    `by_address`: whether an address of its own tells the service's connections from others.
    """
    config = next(iter(host_rules(work).of(service.host).of_bytes), None)
    problems: list[Diagnostic] = []
    found: list[TcpTarget] = []
    is_mongo = port.protocol is Protocol.MONGO
    if config is not None:
        for target in _configured(work, config, service, port, problems):
            found.append(replace(target, is_mongo=is_mongo) if is_mongo else target)
            if not target.subnets and not target.server_names:
                return tuple(found), tuple(problems)
    cluster = outbound_cluster(port.number, "", service.host)
    lookup = lookup_of(work, service, port)
    by_name = port.protocol.is_tls and (not by_address or needs_sni(service) or lookup is not None)
    names = server_names((service.host,)) if by_name else ()
    rule = work.rule(service)
    policy = tcp_policy(rule, port.number, "")
    makers = rule.makers() if policy != USUAL else ()
    prefix = outbound_stat_prefix(work.mesh, service, port) or cluster
    origins = (service.ref, *makers)
    found.append(
        TcpTarget(((cluster, 1),), prefix, (), names, origins=origins, policy=policy, lookup=lookup, is_mongo=is_mongo)
    )
    return tuple(found), tuple(problems)


@lru_cache(maxsize=256)
def server_names(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """As Envoy matches them: whole names and `*.` wildcards (others become that); a bare `*` is no condition at all."""
    if "*" in hosts:
        return ()
    names = (f"*.{host[1:].lstrip('.')}" if host.startswith("*") else host for host in hosts)
    return tuple(dict.fromkeys(names))


def distinct_networks(subnets: Iterable[str]) -> tuple[str, ...]:
    """As Envoy compares them, each once: it refuses a chain that matches the same network twice."""
    return tuple(dict.fromkeys(str(ip_network(subnet, strict=False)) for subnet in subnets))


def needs_sni(service: Service) -> bool:
    """Whether only the TLS server name tells the service from others: it has no address of its own."""
    return not service.addresses or any("/" in address for address in service.addresses)


def _configured(
    work: Compilation, config: Config[VirtualService], service: Service, port: Port, problems: list[Diagnostic]
) -> Iterator[TcpTarget]:
    spec = config.object.spec
    client = client_of(work.proxy_class)
    if port.protocol.is_tls:
        for tls in spec.tls:
            for tls_match in tls.match:
                if client.meets(tls_match, port.number, config.namespace):
                    yield l4_target(
                        work,
                        config,
                        tls.route,
                        port.number,
                        problems,
                        tls_match.destination_subnets,
                        tls_match.sni_hosts,
                        service.ref,
                    )
    for tcp in spec.tcp:
        matches = [item for item in tcp.match if client.meets(item, port.number, config.namespace)]
        if not tcp.match:
            yield l4_target(work, config, tcp.route, port.number, problems, (), (), service.ref)
        for match in matches:
            yield l4_target(work, config, tcp.route, port.number, problems, match.destination_subnets, (), service.ref)


def l4_target(
    work: Compilation,
    config: Config[VirtualService],
    route: tuple[RouteDestination, ...],
    port: int,
    problems: list[Diagnostic],
    subnets: tuple[str, ...],
    names: tuple[str, ...],
    maker: ConfigRef,
) -> TcpTarget:
    """What a tcp or tls rule does with connections; what it cannot have goes to `problems`.

    `maker` is what has the port: the service, or the Gateway.
    """
    weighted = [item for item in route if item.weight or len(route) == 1]
    clusters: list[tuple[str, int]] = []
    sniffed, policy, spoken, lookup = False, USUAL, "", None
    origins: Origins = (config.ref, maker)
    for item in weighted:
        destination: Destination = item.destination
        found = resolve(work, destination, config.namespace)
        chosen = choose(found, destination, port, config)
        sniffed = sniffed or _is_sniffed(work, found, destination, port)
        lookup = lookup or _lookup(work, found, destination, port)
        if not clusters:  # the first destination's rule counts for all: connections are one listener's
            subset = destination.subset if len(weighted) == 1 else ""
            number = destination.port.number if destination.port else port
            policy = tcp_policy(found.rule, number, subset)
            origins += found.rule.makers(subset) if policy != USUAL else ()
            where = found.service and service_port(found.service, number, port)
            spoken = outbound_stat_prefix(work.mesh, found.service, where, subset) if found.service and where else ""
        clusters.append((chosen.cluster, item.weight or 1))
        if chosen.problem is not None:
            problems.append(chosen.problem)
    if not clusters:
        clusters = [(BLACK_HOLE_CLUSTER, 1)]
        text = "A rule without a destination that has a weight closes the connection."
        problems.append(Diagnostic("no-destination", config.path, text, Severity.ERROR))
    prefix = spoken or clusters[0][0] if len(clusters) == 1 else f"{config.name}.{config.namespace}"
    networks = distinct_networks(subnets)
    return TcpTarget(
        tuple(clusters), prefix, networks, server_names(names), config.path, origins, lookup, sniffed, policy
    )


def _lookup(work: Compilation, found: Resolved, destination: Destination, listen_port: int) -> Lookup | None:
    number = destination.port.number if destination.port else 0
    port = service_port(found.service, number, listen_port) if found.service is not None else None
    return lookup_of(work, found.service, port) if found.service is not None and port is not None else None


def _is_sniffed(work: Compilation, found: Resolved, destination: Destination, listen_port: int) -> bool:
    """Only gateways assume HTTP: a sidecar's clusters follow the caller."""
    if work.proxy_class.type is not ProxyType.ROUTER or found.service is None or found.service.external:
        return False
    port = service_port(found.service, destination.port.number if destination.port else 0, listen_port)
    if port is None or port.protocol is not Protocol.AUTO:
        return False
    tls = found.rule.policy_of(port.number, destination.subset).tls
    return tls is None or tls.mode is TlsMode.ISTIO_MUTUAL
