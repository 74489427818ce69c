"""Addresses and ports of Endpoints."""

from meshcore.model.core_v1 import Endpoints

from galley.core.rules.names import check_ip
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report


def validate(endpoints: Endpoints, report: Report) -> None:
    """Real addresses and port numbers."""
    for index, subset in enumerate(endpoints.subsets):
        for field, addresses in (("addresses", subset.addresses), ("notReadyAddresses", subset.not_ready_addresses)):
            for at, address in enumerate(addresses):
                check_ip(report, f"subsets[{index}].{field}[{at}].ip", address.ip)
        for at, port in enumerate(subset.ports):
            check_port(report, f"subsets[{index}].ports[{at}].port", port.port)
