"""Port numbers, port names and protocols."""

from galley.core.rules.names import check_label
from galley.core.rules.report import Report

PROTOCOLS = frozenset(
    ("tcp", "udp", "grpc", "grpc-web", "http", "http_proxy", "http2", "https", "tls", "mongo", "redis", "mysql")
)
HTTP_PROTOCOLS = frozenset(("http", "http2", "http_proxy", "grpc", "grpc-web"))
TLS_PROTOCOLS = frozenset(("https", "tls"))
TCP_PROTOCOLS = frozenset(("tcp", "https", "tls", "mongo", "redis", "mysql"))


def check_port(report: Report, path: str, number: int) -> None:
    """A port number, 1 to 65535."""
    if not 1 <= number <= 65535:
        report.error(path, f"{number} is not a port number", "1 to 65535")


def check_protocol(report: Report, path: str, protocol: str, *, required: bool = False) -> None:
    """The name of a protocol in any case; empty means sniffing, where that is allowed."""
    if protocol.lower() not in PROTOCOLS and (protocol or required):
        report.error(path, f"unknown protocol {protocol!r}", ", ".join(sorted(PROTOCOLS)))


def check_port_name(report: Report, path: str, name: str) -> None:
    """A DNS label."""
    check_label(report, path, name)
