"""The rules of a workload's address, ports and labels: as a WorkloadEntry, in a ServiceEntry, in a WorkloadGroup."""

from meshcore.model.workload import WorkloadEntrySpec

from galley.core.rules.label_maps import check_labels
from galley.core.rules.names import check_unix_address, domain_fault, is_ip
from galley.core.rules.ports import check_port, check_port_name
from galley.core.rules.report import Report

UNIX = "unix://"
_LONGEST = {"address": 256, "locality": 2048, "network": 2048, "service_account": 253}
_MOST_LABELS = 256
_MOST_PORTS = 128


def check_workload_entry(report: Report, path: str, entry: WorkloadEntrySpec) -> None:
    """An address or a network, and ports that fit it. Without both nothing else is looked at, as in Istio."""
    if not entry.address and not entry.network:
        report.error(f"{path}.address", "required", "an address, or a network whose gateway leads there")
        return
    if not entry.address:
        report.warn(f"{path}.address", "only a network: the workload is reached through its gateways")
    elif entry.address.startswith(UNIX):
        check_unix_address(report, f"{path}.address", entry.address)
        if entry.ports:
            report.error(f"{path}.ports", "a socket has no ports", "no ports")
    elif not is_ip(entry.address) and (fault := domain_fault(entry.address)):
        report.error(f"{path}.address", fault, "an IP address, a host name, or unix:///path")
    check_workload_template(report, path, entry)


def check_workload_template(report: Report, path: str, entry: WorkloadEntrySpec) -> None:
    """Everything but the address, which a registering workload brings itself."""
    for name, number in entry.ports.items():
        check_port_name(report, f"{path}.ports[{name}]", name)
        check_port(report, f"{path}.ports[{name}]", number)
    check_labels(report, f"{path}.labels", entry.labels)
    for field, most in _LONGEST.items():
        if len(getattr(entry, field)) > most:
            report.error(f"{path}.{_CAMEL.get(field, field)}", "too long", f"at most {most} characters")
    if len(entry.labels) > _MOST_LABELS:
        report.error(f"{path}.labels", f"{len(entry.labels)} labels", f"at most {_MOST_LABELS}")
    if len(entry.ports) > _MOST_PORTS:
        report.error(f"{path}.ports", f"{len(entry.ports)} ports", f"at most {_MOST_PORTS}")


_CAMEL = {"service_account": "serviceAccount"}
