"""The rules of a ServiceEntry: hosts, addresses, ports, and endpoints that fit the resolution."""

from meshcore.model.service_entry import Resolution, ServiceEntry, ServiceEntrySpec

from galley.core.kinds.service_entry.endpoints import check_resolution
from galley.core.rules.label_maps import check_export_to, check_selector
from galley.core.rules.names import check_subnet, check_wildcard_host, is_cidr, is_partial_wildcard
from galley.core.rules.ports import HTTP_PROTOCOLS, TLS_PROTOCOLS, check_port, check_port_name, check_protocol
from galley.core.rules.report import Report

_NO_AUTO_ALLOCATION = "networking.istio.io/enable-autoallocate-ip"


def validate(entry: ServiceEntry, report: Report) -> None:
    """All rules; a wrong selector is reported alone, as in Istio."""
    spec = entry.spec
    if spec.workload_selector is not None:
        if not check_selector(report, "spec.workloadSelector.labels", spec.workload_selector.labels):
            return
        if spec.endpoints:
            report.error("spec", "workloadSelector and endpoints are both set", "one of them")
    _check_hosts(spec, report)
    _check_addresses(spec, report)
    _check_ports(spec, report)
    _warn_of_tcp_without_address(entry, report)
    check_resolution(entry, report)
    needs_one_host = spec.resolution is not Resolution.NONE and len(spec.hosts) > 1
    for index, port in enumerate(spec.ports):
        if needs_one_host and port.protocol.lower() not in HTTP_PROTOCOLS | TLS_PROTOCOLS:
            report.error(f"spec.ports[{index}].protocol", "several hosts need HTTP or TLS to be told apart", "one host")
    check_export_to(report, "spec.exportTo", spec.export_to, entry.metadata.namespace, none=True)


def _check_hosts(spec: ServiceEntrySpec, report: Report) -> None:
    for index, host in enumerate(spec.hosts):
        path = f"spec.hosts[{index}]"
        if host == "*":
            report.error(path, "'*' alone would be every host", "a host name, or *.domain")
            continue
        check_wildcard_host(report, path, host)
        if is_partial_wildcard(host) and spec.resolution is not Resolution.DYNAMIC_DNS:
            report.warn(path, f"{host!r} is a partial wildcard, which is not supported: use *.domain")


def _check_addresses(spec: ServiceEntrySpec, report: Report) -> None:
    for index, address in enumerate(spec.addresses):
        check_subnet(report, f"spec.addresses[{index}]", address)
        if is_cidr(address) and spec.resolution not in (Resolution.NONE, Resolution.STATIC):
            report.error(f"spec.addresses[{index}]", "a range needs resolution NONE or STATIC", "single addresses")


def _check_ports(spec: ServiceEntrySpec, report: Report) -> None:
    names: set[str] = set()
    numbers: set[int] = set()
    for index, port in enumerate(spec.ports):
        path = f"spec.ports[{index}]"
        check_port_name(report, f"{path}.name", port.name)
        check_protocol(report, f"{path}.protocol", port.protocol)
        check_port(report, f"{path}.number", port.number)
        if port.target_port:
            check_port(report, f"{path}.targetPort", port.target_port)
        if port.name in names:
            report.error(f"{path}.name", f"{port.name!r} is there twice")
        if port.number in numbers:
            report.error(f"{path}.number", f"{port.number} is there twice")
        names.add(port.name)
        numbers.add(port.number)


def _warn_of_tcp_without_address(entry: ServiceEntry, report: Report) -> None:
    """Without an address of its own a TCP port catches everything on its number."""
    spec = entry.spec
    allocated = (
        spec.resolution is not Resolution.NONE and entry.metadata.labels.get(_NO_AUTO_ALLOCATION, "").lower() != "false"
    )
    if spec.addresses or allocated:
        return
    for index, port in enumerate(spec.ports):
        if port.protocol in ("", "TCP"):
            report.warn(f"spec.ports[{index}]", "a TCP port without an address takes all traffic to its number")
