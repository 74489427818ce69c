"""The gRPC ports: mTLS on 15012, plaintext on loopback only on 15010. Opened after the first complete snapshot."""

import ipaddress
from typing import Any

import grpc.aio
import structlog
from meshcore.errors import ErrorCode, MeshError
from meshcore.tls import LiveIdentity, grpc_server_credentials

from pilot.adapters.ads import OPTIONS, AdsService
from pilot.adapters.hub import Hub
from pilot.adapters.registrations import Registrations
from pilot.settings import PilotSettings

_log = structlog.get_logger("ads")


class AdsServers:
    """Both servers of one process. With `shared` the ports may be bound by sibling processes too (SO_REUSEPORT)."""

    def __init__(
        self, hub: Hub, registrations: Registrations | None, settings: PilotSettings, identity: LiveIdentity | None
    ) -> None:
        self._hub = hub
        self._registrations = registrations
        self._settings = settings
        self._identity = identity
        self._servers: list[Any] = []
        self.secure_port = 0
        self.plaintext_port = 0

    async def start(self) -> None:
        """Bind and serve; FAILED_PRECONDITION when a port cannot be bound."""
        settings = self._settings
        if self._identity is not None:
            credentials = grpc_server_credentials(self._identity)
            server = self._server(secure=True)
            self.secure_port = self._bind(
                lambda address: server.add_secure_port(address, credentials), settings.host, settings.grpc_port
            )
            await server.start()
        if settings.plaintext_port >= 0 and (host := self._plaintext_host()):
            plain = self._server(secure=False)
            self.plaintext_port = self._bind(plain.add_insecure_port, host, settings.plaintext_port)
            await plain.start()
        _log.info("ads is served", mtls=self.secure_port, plaintext=self.plaintext_port)

    async def stop(self) -> None:
        """End every stream at once; clients reconnect elsewhere or wait."""
        for server in self._servers:
            await server.stop(0)

    def _server(self, *, secure: bool) -> Any:
        shared = int(self._settings.worker >= 0)
        server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", shared)])
        # Nobody registers a workload without proving whose it is.
        registrations = self._registrations if secure else None
        service = AdsService(self._hub, registrations, self._settings, self._identity if secure else None)
        server.add_generic_rpc_handlers((service.handler(),))
        self._servers.append(server)
        return server

    def _plaintext_host(self) -> str:
        """Plaintext never leaves the machine."""
        for host in (self._settings.host, self._settings.plaintext_host):
            if ipaddress.ip_address(host).is_loopback:
                return host
        return ""

    def _bind(self, bind: Any, host: str, port: int) -> int:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound: int = bind(address)
        except RuntimeError as error:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, f"cannot listen on {address}") from error
        return bound
