"""Rules for connections: TCP, and TLS that is passed through."""

from meshcore.hosts import host_matches
from meshcore.model.virtual_service import L4MatchAttributes, TcpRoute, TlsMatchAttributes, TlsRoute

from galley.core.kinds.virtual_service.destinations import check_weights
from galley.core.rules.label_maps import check_labels
from galley.core.rules.names import (
    check_gateway_names,
    check_sni_auto_host,
    check_subnet,
    check_wildcard_host,
    domain_fault,
    is_ip,
)
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report


def check_tcp_route(report: Report, path: str, route: TcpRoute) -> None:
    """Matches and destinations of one TCP rule."""
    for index, match in enumerate(route.match):
        _check_l4_match(report, f"{path}.match[{index}]", match)
    if not route.route:
        report.error(f"{path}.route", "required", "a destination")
    check_weights(report, f"{path}.route", route.route)


def check_tls_route(report: Report, path: str, route: TlsRoute, hosts: tuple[str, ...], *, in_mesh: bool) -> None:
    """Matches and destinations of one TLS rule; its SNI hosts are among the hosts of the VirtualService."""
    if not route.match:
        report.error(f"{path}.match", "required", "at least one match with sniHosts")
    for index, match in enumerate(route.match):
        where = f"{path}.match[{index}]"
        if not match.sni_hosts:
            report.error(f"{where}.sniHosts", "required", "at least one host")
        for at, host in enumerate(match.sni_hosts):
            _check_sni_host(report, f"{where}.sniHosts[{at}]", host, hosts, in_mesh=in_mesh)
        _check_l4_match(report, where, match)
    if not route.route:
        report.error(f"{path}.route", "required", "a destination")
    check_weights(report, f"{path}.route", route.route)


def _check_sni_host(report: Report, path: str, host: str, hosts: tuple[str, ...], *, in_mesh: bool) -> None:
    if is_ip(host) and domain_fault(host, wildcard=True):
        report.warn(path, f"{host!r} is an address: clients send no SNI for addresses (RFC 6066)")
        return
    check = check_wildcard_host if in_mesh else check_sni_auto_host
    if check(report, path, host) and not any(host_matches(pattern, host) for pattern in hosts):
        report.error(path, f"{host!r} is not covered by the hosts of the VirtualService", "one of them, or narrower")


def _check_l4_match(report: Report, path: str, match: L4MatchAttributes | TlsMatchAttributes) -> None:
    for index, subnet in enumerate(match.destination_subnets):
        check_subnet(report, f"{path}.destinationSubnets[{index}]", subnet)
    if match.port:
        check_port(report, f"{path}.port", match.port)
    check_labels(report, f"{path}.sourceLabels", match.source_labels)
    check_gateway_names(report, f"{path}.gateways", match.gateways)
