"""A service that something is sent to."""

from meshcore.model.virtual_service import Destination

from galley.core.rules.names import check_label, check_wildcard_host
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report


def check_destination(report: Report, path: str, destination: Destination) -> None:
    """A host that is not `*`, the name of a subset, the number of a port."""
    if destination.host == "*":
        report.error(f"{path}.host", "'*' is every host", "the host of one service")
    else:
        check_wildcard_host(report, f"{path}.host", destination.host)
    if destination.subset:
        check_label(report, f"{path}.subset", destination.subset)
    if destination.port is not None:
        check_port(report, f"{path}.port.number", destination.port.number)
