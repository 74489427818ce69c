"""Where TCP and TLS connections go: VirtualService's tcp and tls rules as filter chains. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from envoy.config.listener.v3 import listener_components_pb2
from meshcore.labels import selects
from meshcore.model import VirtualService
from meshcore.model.mesh_config import MeshConfig
from meshcore.model.virtual_service import Destination, L4MatchAttributes, RouteDestination, TlsMatchAttributes
from meshcore.xds.names import BLACK_HOLE_CLUSTER, outbound_cluster
from meshcore.xds.origin import Origins

from pilot.core.compiler.context import Compilation
from pilot.core.compiler.destinations import choose, resolve
from pilot.core.compiler.routes import host_rules
from pilot.core.compiler.tcp_proxy import tcp_proxy, weighted_tcp_proxy
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic, Severity
from pilot.core.registry import Port, Service
from pilot.core.visibility.scoping import MESH_GATEWAY


@dataclass(frozen=True)
class TcpTarget:
    """One chain's part: what it matches beyond the address, the clusters by weight, and who decided."""

    clusters: tuple[tuple[str, int], ...]
    stat_prefix: str
    subnets: tuple[str, ...] = ()
    server_names: tuple[str, ...] = ()
    config: str = ""
    origins: Origins = ()

    def filter(self, mesh: MeshConfig) -> listener_components_pb2.Filter:
        """The network filter of the chain."""
        if len(self.clusters) == 1:
            return tcp_proxy(self.clusters[0][0], mesh, self.stat_prefix)
        return weighted_tcp_proxy(self.clusters, mesh, self.stat_prefix)


def tcp_targets(
    work: Compilation, service: Service, port: Port
) -> tuple[tuple[TcpTarget, ...], tuple[Diagnostic, ...]]:
    """Chains for a service's port in order; the last one takes every connection to the service."""
    config = host_rules(work).of(service.host)
    problems: list[Diagnostic] = []
    found: list[TcpTarget] = []
    if config is not None:
        for target in _configured(work, config, service, port, problems):
            found.append(target)
            if not target.subnets and not target.server_names:
                return tuple(found), tuple(problems)
    cluster = outbound_cluster(port.number, "", service.host)
    names = server_names((service.host,)) if port.protocol.is_tls and needs_sni(service) else ()
    found.append(TcpTarget(((cluster, 1),), cluster, (), names, origins=(service.ref,)))
    return tuple(found), tuple(problems)


def server_names(hosts: tuple[str, ...]) -> tuple[str, ...]:
    """As Envoy matches them: whole names and `*.` wildcards (others become that); a bare `*` is no condition at all."""
    if "*" in hosts:
        return ()
    names = (f"*.{host[1:].lstrip('.')}" if host.startswith("*") else host for host in hosts)
    return tuple(dict.fromkeys(names))


def needs_sni(service: Service) -> bool:
    """Whether only the TLS server name tells the service from others: it has no address of its own."""
    return not service.addresses or any("/" in address for address in service.addresses)


def _configured(
    work: Compilation, config: Config[VirtualService], service: Service, port: Port, problems: list[Diagnostic]
) -> Iterator[TcpTarget]:
    spec = config.object.spec
    one = work.proxy_class
    labels = one.label_map
    if port.protocol.is_tls:
        for tls in spec.tls:
            for tls_match in tls.match:
                if _applies(tls_match, port.number, one.namespace, labels):
                    yield _target(
                        work,
                        config,
                        tls.route,
                        port.number,
                        problems,
                        tls_match.destination_subnets,
                        tls_match.sni_hosts,
                        service,
                    )
    for tcp in spec.tcp:
        matches = [item for item in tcp.match if _applies(item, port.number, one.namespace, labels)]
        if not tcp.match:
            yield _target(work, config, tcp.route, port.number, problems, (), (), service)
        for match in matches:
            yield _target(work, config, tcp.route, port.number, problems, match.destination_subnets, (), service)


def _applies(
    match: L4MatchAttributes | TlsMatchAttributes, port: int, namespace: str, labels: Mapping[str, str]
) -> bool:
    if match.port and match.port != port:
        return False
    if match.gateways:
        return MESH_GATEWAY in match.gateways
    if match.source_namespace and match.source_namespace != namespace:
        return False
    return selects(match.source_labels, labels)


def _target(
    work: Compilation,
    config: Config[VirtualService],
    route: tuple[RouteDestination, ...],
    port: int,
    problems: list[Diagnostic],
    subnets: tuple[str, ...],
    names: tuple[str, ...],
    service: Service,
) -> TcpTarget:
    weighted = [item for item in route if item.weight or len(route) == 1]
    clusters = []
    for item in weighted:
        destination: Destination = item.destination
        chosen = choose(resolve(work, destination, config.namespace), destination, port, config)
        clusters.append((chosen.cluster, item.weight or 1))
        if chosen.problem is not None:
            problems.append(chosen.problem)
    if not clusters:
        clusters = [(BLACK_HOLE_CLUSTER, 1)]
        text = "A rule without a destination that has a weight closes the connection."
        problems.append(Diagnostic("no-destination", config.path, text, Severity.ERROR))
    prefix = clusters[0][0] if len(clusters) == 1 else f"{config.name}.{config.namespace}"
    origins = (config.ref, service.ref)
    return TcpTarget(tuple(clusters), prefix, subnets, server_names(names), config.path, origins)
