"""Gateway: what a proxy at the edge listens on (networking.istio.io)."""

from meshcore.model.base import Labels, MeshModel, StatusObject, UInt32
from meshcore.model.sidecar import ServerTlsMode, ServerTlsSettings
from meshcore.protocol import Protocol, parse_protocol


class GatewayPort(MeshModel):
    """A port of the listener; its name is unique in the Gateway."""

    number: UInt32
    protocol: str
    name: str
    target_port: UInt32 = 0


class Server(MeshModel):
    """One listener; hosts are `namespace/host` or `host`."""

    port: GatewayPort
    bind: str = ""
    hosts: tuple[str, ...]
    tls: ServerTlsSettings | None = None
    default_endpoint: str = ""
    name: str = ""

    @property
    def protocol(self) -> Protocol:
        """What its port speaks."""
        return parse_protocol(self.port.protocol)

    @property
    def passes_through(self) -> bool:
        """Whether TLS goes on to the service as it came."""
        return self.tls is not None and self.tls.mode in (ServerTlsMode.PASSTHROUGH, ServerTlsMode.AUTO_PASSTHROUGH)

    @property
    def terminates_https(self) -> bool:
        """Whether it ends TLS and routes the requests that were in it."""
        return self.protocol is Protocol.HTTPS and self.tls is not None and not self.passes_through

    @property
    def is_http(self) -> bool:
        """Whether it routes requests: plain HTTP, or HTTPS that ends here."""
        return self.protocol.is_http or self.terminates_https

    @property
    def terminates_tcp_tls(self) -> bool:
        """Whether it ends TLS and sends the bytes on."""
        return self.tls is not None and not self.is_http and not self.passes_through


class GatewaySpec(MeshModel):
    """Listeners of the proxies whose pods have all labels of `selector`."""

    servers: tuple[Server, ...] = ()
    selector: Labels = {}


class Gateway(StatusObject):
    """What a proxy at the edge listens on."""

    spec: GatewaySpec = GatewaySpec()
