"""HOST:PORT, as proxies dial it."""

from galley.core.rules.names import domain_fault, is_ip
from galley.core.rules.report import Report

_HOST_IP = "$(HOST_IP)"
"""Replaced by the node's address in a pod."""


def check_proxy_address(report: Report, path: str, address: str, *, host_ip: bool = False) -> None:
    """A host name or an IP address (IPv6 in brackets) and a port; `host_ip` allows `$(HOST_IP)` as the host."""
    text = address.replace(_HOST_IP, "127.0.0.1", 1) if host_ip else address
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    right = (
        colon
        and (bracketed or ":" not in host)
        and port.isascii()
        and port.isdecimal()
        and 1 <= int(port) <= 65535
        and (is_ip(host) or domain_fault(host) is None)
    )
    if not right:
        report.error(path, f"{address!r} is not an address", "HOST:PORT")
