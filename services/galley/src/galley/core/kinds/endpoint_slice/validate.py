"""Addresses of the slice's type, real ports."""

import ipaddress

from meshcore.model.endpoint_slice import EndpointSlice

from galley.core.rules.names import check_fqdn
from galley.core.rules.ports import check_port
from galley.core.rules.report import Report

_TYPES = ("IPv4", "IPv6", "FQDN")
_MAX_ENDPOINTS = 1000


def validate(endpoint_slice: EndpointSlice, report: Report) -> None:
    """At most 1,000 endpoints with 1 to 100 addresses of the slice's type, ports once each."""
    if endpoint_slice.address_type not in _TYPES:
        report.error("addressType", f"unsupported value {endpoint_slice.address_type!r}", ", ".join(_TYPES))
    if len(endpoint_slice.endpoints) > _MAX_ENDPOINTS:
        report.error("endpoints", f"{len(endpoint_slice.endpoints)} endpoints", f"at most {_MAX_ENDPOINTS}")
    for index, endpoint in enumerate(endpoint_slice.endpoints):
        path = f"endpoints[{index}].addresses"
        if not 1 <= len(endpoint.addresses) <= 100:
            report.error(path, f"{len(endpoint.addresses)} addresses", "1 to 100")
        for at, address in enumerate(endpoint.addresses):
            _check_address(f"{path}[{at}]", address, endpoint_slice.address_type, report)
    seen: set[str] = set()
    for index, port in enumerate(endpoint_slice.ports):
        if port.port is not None:
            check_port(report, f"ports[{index}].port", port.port)
        if port.name in seen:
            report.error(f"ports[{index}].name", f"{port.name!r} is there twice")
        seen.add(port.name)


def _check_address(path: str, text: str, address_type: str, report: Report) -> None:
    if address_type == "FQDN":
        check_fqdn(report, path, text)
        return
    try:
        found = f"IPv{ipaddress.ip_address(text).version}"
    except ValueError:
        found = ""
    if found != address_type and address_type in _TYPES:
        report.error(path, f"{text!r} is not an {address_type} address")
