"""Ports on which a workload accepts."""

from meshcore.model.sidecar import IngressListener, ServerTlsMode, ServerTlsSettings

from galley.core.rules.connection_pool import check_connection_pool
from galley.core.rules.names import check_ip, check_unix_address
from galley.core.rules.ports import HTTP_PROTOCOLS, check_port, check_port_name, check_protocol
from galley.core.rules.report import Report
from galley.core.rules.server_tls import check_server_tls

_LOCAL_ADDRESSES = frozenset(("", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"))
_UNIX = "unix://"


def check_ingress(report: Report, listeners: tuple[IngressListener, ...]) -> None:
    """Every listener, and no port twice."""
    seen: set[int] = set()
    for index, listener in enumerate(listeners):
        path = f"spec.ingress[{index}]"
        _check_port(report, f"{path}.port", listener)
        if listener.port.number in seen:
            report.error(f"{path}.port.number", f"{listener.port.number} is there twice")
        seen.add(listener.port.number)
        if listener.bind:
            check_ip(report, f"{path}.bind", listener.bind)
        _check_endpoint(report, f"{path}.defaultEndpoint", listener.default_endpoint)
        if listener.tls is not None:
            _check_tls(report, f"{path}.tls", listener.tls, listener.port.protocol)
        if listener.connection_pool is not None:
            check_connection_pool(report, f"{path}.connectionPool", listener.connection_pool)
            is_http = listener.port.protocol.lower() in HTTP_PROTOCOLS
            if listener.connection_pool.http is not None and not is_http:
                report.warn(f"{path}.connectionPool.http", "HTTP settings of a port that is not HTTP are not used")


def _check_port(report: Report, path: str, listener: IngressListener) -> None:
    port = listener.port
    if port.target_port:
        report.error(f"{path}.targetPort", "not supported here", "defaultEndpoint")
    if port.name:
        check_port_name(report, f"{path}.name", port.name)
    check_protocol(report, f"{path}.protocol", port.protocol)
    check_port(report, f"{path}.number", port.number)


def _check_endpoint(report: Report, path: str, endpoint: str) -> None:
    """A socket, or a port on this machine or on the workload's own address."""
    if not endpoint:
        return
    if endpoint.startswith(_UNIX):
        check_unix_address(report, path, endpoint)
        return
    host, colon, port = endpoint.rpartition(":")
    if not colon or host not in _LOCAL_ADDRESSES:
        report.error(path, f"{endpoint!r} is not on this workload", "127.0.0.1:PORT, 0.0.0.0:PORT or unix:///path")
    elif not (port.isascii() and port.isdecimal()):
        report.error(path, f"{port!r} is not a port number", "1 to 65535")
    else:
        check_port(report, path, int(port))


def _check_tls(report: Report, path: str, tls: ServerTlsSettings, protocol: str) -> None:
    for name, value in (
        ("subjectAltNames", tls.subject_alt_names),
        ("httpsRedirect", tls.https_redirect),
        ("credentialName", tls.credential_name),
        ("credentialNames", tls.credential_names),
        ("tlsCertificates", tls.tls_certificates),
    ):
        if value:
            report.error(f"{path}.{name}", "not supported in a Sidecar")
    if tls.mode in (ServerTlsMode.ISTIO_MUTUAL, ServerTlsMode.AUTO_PASSTHROUGH):
        report.error(f"{path}.mode", f"{tls.mode.value} is not supported in a Sidecar", "SIMPLE or MUTUAL")
    if protocol.lower() not in ("https", "tls"):
        report.error(path, f"TLS on a port of protocol {protocol or '(none)'!r}", "protocol HTTPS or TLS")
    check_server_tls(report, path, tls)
