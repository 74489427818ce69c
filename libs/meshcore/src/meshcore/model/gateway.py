"""Gateway: what a proxy at the edge listens on (networking.istio.io)."""

from meshcore.model.base import Labels, MeshModel, StatusObject, UInt32
from meshcore.model.sidecar import ServerTlsSettings


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


class GatewaySpec(MeshModel):
    """Listeners of the proxies whose pods have all labels of `selector`."""

    servers: tuple[Server, ...] = ()
    selector: Labels = {}


class Gateway(StatusObject):
    """What a proxy at the edge listens on."""

    spec: GatewaySpec = GatewaySpec()
