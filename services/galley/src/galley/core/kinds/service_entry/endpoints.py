"""Which endpoints go with which resolution of a ServiceEntry."""

from meshcore.model.service_entry import Location, Resolution, ServiceEntry, ServiceEntrySpec
from meshcore.model.workload import WorkloadEntrySpec

from galley.core.rules.label_maps import check_labels
from galley.core.rules.names import check_fqdn, domain_fault, is_ip
from galley.core.rules.ports import TCP_PROTOCOLS, check_port
from galley.core.rules.report import Report
from galley.core.rules.workload import UNIX, check_workload_entry

_WAYPOINT = "istio.io/use-waypoint"
_DYNAMIC_PROTOCOLS = frozenset(("http", "tls", "grpc", "http2"))


def check_resolution(entry: ServiceEntry, report: Report) -> None:
    """The rules of the entry's resolution."""
    spec = entry.spec
    if spec.resolution is Resolution.NONE:
        if spec.endpoints:
            report.error("spec.endpoints", "resolution NONE has no endpoints", "no endpoints, or another resolution")
        if spec.workload_selector is not None:
            report.warn("spec.workloadSelector", "resolution NONE uses no endpoints")
    elif spec.resolution is Resolution.STATIC:
        _check_static(spec, report)
    elif spec.resolution is Resolution.DYNAMIC_DNS:
        _check_dynamic(entry, report)
    else:
        _check_dns(spec, report)


def _check_static(spec: ServiceEntrySpec, report: Report) -> None:
    names = {port.name for port in spec.ports}
    for index, endpoint in enumerate(spec.endpoints):
        path = f"spec.endpoints[{index}]"
        check_workload_entry(report, path, endpoint)
        if endpoint.address.startswith(UNIX):
            if len(spec.ports) != 1:
                report.error(f"{path}.address", "a socket needs exactly one service port", "one port")
        elif endpoint.address and not is_ip(endpoint.address):
            report.error(f"{path}.address", f"{endpoint.address!r} is not an address", "an IP address in STATIC")
        _check_port_names(report, path, endpoint, names)


def _check_dns(spec: ServiceEntrySpec, report: Report) -> None:
    if not spec.endpoints:
        for index, host in enumerate(spec.hosts):
            check_fqdn(report, f"spec.hosts[{index}]", host)
    if spec.resolution is Resolution.DNS_ROUND_ROBIN and len(spec.endpoints) > 1:
        report.error("spec.endpoints", f"{len(spec.endpoints)} endpoints", "at most one in DNS_ROUND_ROBIN")
    names = {port.name for port in spec.ports}
    for index, endpoint in enumerate(spec.endpoints):
        path = f"spec.endpoints[{index}]"
        if not endpoint.address:
            report.error(f"{path}.address", "required", "an IP address or a host name")
        elif not is_ip(endpoint.address) and (fault := domain_fault(endpoint.address)):
            report.error(f"{path}.address", fault, "an IP address or a host name")
        check_labels(report, f"{path}.labels", endpoint.labels)
        for name, number in endpoint.ports.items():
            check_port(report, f"{path}.ports[{name}]", number)
        _check_port_names(report, path, endpoint, names)
    has_tcp = any(port.protocol.lower() in TCP_PROTOCOLS for port in spec.ports)
    if spec.addresses and has_tcp and len(spec.hosts) > 1:
        report.warn("spec.hosts", "several hosts share the addresses: only the first counts for TCP")


def _check_dynamic(entry: ServiceEntry, report: Report) -> None:
    spec = entry.spec
    for index, host in enumerate(spec.hosts):
        if not host.startswith("*"):
            report.error(f"spec.hosts[{index}]", "DYNAMIC_DNS is for wildcard hosts", "*.domain")
    if spec.addresses:
        report.error("spec.addresses", "DYNAMIC_DNS has no addresses", "no addresses")
    if spec.endpoints:
        report.error("spec.endpoints", "DYNAMIC_DNS has no endpoints", "no endpoints")
    for index, port in enumerate(spec.ports):
        if port.protocol.lower() not in _DYNAMIC_PROTOCOLS:
            report.error(f"spec.ports[{index}].protocol", "DYNAMIC_DNS needs a host name", "HTTP, HTTP2, GRPC or TLS")
    waypoint = entry.metadata.labels.get(_WAYPOINT, "").lower()
    if spec.location is Location.MESH_INTERNAL and waypoint not in ("", "none"):
        report.error("spec.location", "MESH_INTERNAL with a waypoint", "MESH_EXTERNAL, or no waypoint")


def _check_port_names(report: Report, path: str, endpoint: WorkloadEntrySpec, names: set[str]) -> None:
    for name in endpoint.ports:
        if name not in names:
            report.error(f"{path}.ports[{name}]", f"the entry has no port {name!r}", "the name of one of its ports")
