"""The rules of a VirtualService as a whole: what it is bound to, its hosts, its rules."""

from meshcore.hosts import hosts_overlap
from meshcore.model.virtual_service import VirtualService, VirtualServiceSpec

from galley.core.kinds.virtual_service.http_route import HttpScope, check_http_route
from galley.core.kinds.virtual_service.reachability import warn_of_unreachable
from galley.core.kinds.virtual_service.tcp_route import check_tcp_route, check_tls_route
from galley.core.rules.label_maps import check_export_to
from galley.core.rules.names import check_gateway_names, check_sni_auto_host, check_wildcard_host, is_ip
from galley.core.rules.report import Report

MESH = "mesh"


def validate(virtual_service: VirtualService, report: Report) -> None:
    """All rules. Without hosts it is a delegate: its routes are taken into another VirtualService."""
    spec = virtual_service.spec
    is_delegate = not spec.hosts
    if is_delegate:
        for name, value in (("gateways", spec.gateways), ("tls", spec.tls), ("tcp", spec.tcp)):
            if value:
                report.error(f"spec.{name}", "a VirtualService without hosts is a delegate", f"no {name}, or hosts")
    if not (spec.http or spec.tcp or spec.tls):
        report.error("spec", "no routes", "http, tcp or tls")
    check_gateway_names(report, "spec.gateways", spec.gateways)
    in_mesh = not spec.gateways or MESH in spec.gateways
    if not is_delegate:
        _check_hosts(spec, report, in_mesh=in_mesh)
    scope = HttpScope(in_mesh=in_mesh, is_delegate=is_delegate)
    for index, http in enumerate(spec.http):
        check_http_route(report, f"spec.http[{index}]", http, scope)
    for index, tls in enumerate(spec.tls):
        check_tls_route(report, f"spec.tls[{index}]", tls, spec.hosts, in_mesh=in_mesh)
    for index, tcp in enumerate(spec.tcp):
        check_tcp_route(report, f"spec.tcp[{index}]", tcp)
    check_export_to(report, "spec.exportTo", spec.export_to, virtual_service.metadata.namespace)
    warn_of_unreachable(report, spec)


def _check_hosts(spec: VirtualServiceSpec, report: Report, *, in_mesh: bool) -> None:
    has_sni = any(match.sni_hosts for route in spec.tls for match in route.match)
    all_valid = True
    for index, host in enumerate(spec.hosts):
        path = f"spec.hosts[{index}]"
        before = len(report.errors)
        if in_mesh and host == "*":
            report.error(path, "'*' alone cannot be bound to the mesh", "a host name, or a gateway")
        elif not is_ip(host) and has_sni and not in_mesh:
            check_sni_auto_host(report, path, host)
        else:
            check_wildcard_host(report, path, host, or_ip=True)
        all_valid = all_valid and len(report.errors) == before
    if all_valid:
        _check_overlap(spec, report)


def _check_overlap(spec: VirtualServiceSpec, report: Report) -> None:
    for index, host in enumerate(spec.hosts):
        for at, other in enumerate(spec.hosts[index + 1 :], index + 1):
            if hosts_overlap(host, other):
                report.error(f"spec.hosts[{at}]", f"{other!r} and {host!r} overlap", "hosts that do not overlap")
