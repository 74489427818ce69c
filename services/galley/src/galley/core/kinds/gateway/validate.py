"""The rules of a Gateway: its name, and its listeners."""

from meshcore.model.gateway import Gateway, Server
from meshcore.model.sidecar import ServerTlsSettings

from galley.core.rules.names import check_ip, check_unix_address, is_label
from galley.core.rules.ports import HTTP_PROTOCOLS, TLS_PROTOCOLS, check_port, check_protocol
from galley.core.rules.report import Report
from galley.core.rules.scoped_hosts import check_scoped_host
from galley.core.rules.server_tls import check_server_tls

_UNIX = "unix://"


def validate(gateway: Gateway, report: Report) -> None:
    """At least one listener, each possible, and no port's name twice."""
    if not is_label(gateway.metadata.name):
        report.error("metadata.name", f"{gateway.metadata.name!r} is not a DNS label", "letters, digits and dashes")
    if not gateway.spec.servers:
        report.error("spec.servers", "required", "at least one server")
    names: set[str] = set()
    for index, server in enumerate(gateway.spec.servers):
        path = f"spec.servers[{index}]"
        _check_server(report, path, server)
        if server.port.name in names:
            report.error(f"{path}.port.name", f"{server.port.name!r} is there twice", "a name of its own")
        names.add(server.port.name)


def _check_server(report: Report, path: str, server: Server) -> None:
    if not server.hosts:
        report.error(f"{path}.hosts", "required", "at least one host")
    for index, host in enumerate(server.hosts):
        check_scoped_host(report, f"{path}.hosts[{index}]", host, at_gateway=True)
    _check_port(report, f"{path}.port", server)
    if server.bind.startswith(_UNIX):
        check_unix_address(report, f"{path}.bind", server.bind)
        if server.port.number:
            report.error(f"{path}.port.number", f"{server.port.number} on a socket", "0 for a socket")
    elif server.bind:
        check_ip(report, f"{path}.bind", server.bind)
    if server.tls is not None:
        check_server_tls(report, f"{path}.tls", server.tls)
    _check_tls_of_protocol(report, f"{path}.tls", server)


def _check_port(report: Report, path: str, server: Server) -> None:
    port = server.port
    check_protocol(report, f"{path}.protocol", port.protocol, required=True)
    if port.number or not server.bind.startswith(_UNIX):
        check_port(report, f"{path}.number", port.number)
    if not port.name:
        report.error(f"{path}.name", "required", "a name that is unique in the Gateway")
    if port.target_port:
        report.error(f"{path}.targetPort", "not supported here", "the port of the gateway's Service")


def _check_tls_of_protocol(report: Report, path: str, server: Server) -> None:
    """Whether a port of that protocol can have TLS; what is only a redirect is no TLS."""
    protocol, tls = server.port.protocol.lower(), server.tls
    if protocol in TLS_PROTOCOLS:
        if tls is None:
            report.error(path, f"required on a port of protocol {server.port.protocol}", "TLS settings")
        elif tls.https_redirect:
            report.warn(f"{path}.httpsRedirect", "redirects plain HTTP only: set it on the server of the HTTP port")
    elif tls is None:
        return
    elif protocol not in HTTP_PROTOCOLS:
        report.error(path, f"TLS on a port of protocol {server.port.protocol}", "protocol HTTPS or TLS")
    elif not server.passes_through or _has_files(tls):
        report.error(path, "TLS on a port of plain HTTP", "httpsRedirect alone, or protocol HTTPS")
    if tls is not None and tls.https_redirect and protocol not in HTTP_PROTOCOLS | TLS_PROTOCOLS:
        report.warn(f"{path}.httpsRedirect", "redirects plain HTTP only")


def _has_files(tls: ServerTlsSettings) -> bool:
    return bool(tls.server_certificate or tls.private_key or tls.ca_certificates)
