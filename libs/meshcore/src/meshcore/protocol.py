"""Which protocol a port speaks: declared by `appProtocol`, else by the port's name, else well known, else sniffed.

Istio's rules: pkg/config/protocol and pkg/config/kube (conversion).
"""

from enum import StrEnum

_SERVER_FIRST_PORTS = frozenset({25, 53, 3306, 27017})
"""Ports whose servers speak first, so that sniffing would wait for ever: TCP when nothing is declared."""


class Protocol(StrEnum):
    """The protocol of a port; AUTO is sniffed on the wire."""

    HTTP = "http"
    HTTP_PROXY = "http_proxy"
    HTTP2 = "http2"
    GRPC = "grpc"
    GRPC_WEB = "grpc-web"
    HTTPS = "https"
    TLS = "tls"
    TCP = "tcp"
    UDP = "udp"
    MONGO = "mongo"
    MYSQL = "mysql"
    REDIS = "redis"
    AUTO = "auto"

    @property
    def is_http(self) -> bool:
        """Whether requests can be routed: plaintext HTTP of any version."""
        return self in _HTTP

    @property
    def is_http2(self) -> bool:
        """Whether the upstream is spoken to in HTTP/2."""
        return self in _HTTP2

    @property
    def is_tcp(self) -> bool:
        """Whether the port is proxied as bytes."""
        return self in _TCP

    @property
    def is_tls(self) -> bool:
        """Whether the application itself speaks TLS."""
        return self in (Protocol.HTTPS, Protocol.TLS)


_KUBERNETES_APP_PROTOCOLS = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
}
_HTTP = frozenset({Protocol.HTTP, Protocol.HTTP_PROXY, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB})
_HTTP2 = frozenset({Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB})
_TCP = frozenset({Protocol.TCP, Protocol.HTTPS, Protocol.TLS, Protocol.MONGO, Protocol.MYSQL, Protocol.REDIS})


def parse_protocol(text: str) -> Protocol:
    """The protocol of that name (any case); AUTO for a name that is not a protocol's."""
    try:
        return Protocol(text.lower())
    except ValueError:
        return Protocol.AUTO


def select_protocol(
    port_name: str = "", port_number: int = 0, app_protocol: str | None = None, transport: str = "TCP"
) -> Protocol:
    """The protocol of a Service port: of `appProtocol`, where it is there, else of the name; both may have a `-` and
    more behind it. `transport` is the Service's own field: TCP, UDP or SCTP."""
    if transport.upper() == "UDP":
        return Protocol.UDP
    if (well_known := _KUBERNETES_APP_PROTOCOLS.get(app_protocol or "")) is not None:
        return well_known
    name = (port_name if app_protocol is None else app_protocol).lower()
    declared = Protocol.GRPC_WEB if name.startswith("grpc-web") else parse_protocol(name.split("-", 1)[0])
    if declared is Protocol.AUTO and port_number in _SERVER_FIRST_PORTS:
        return Protocol.TCP
    return declared
