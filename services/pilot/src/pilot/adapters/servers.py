"""The gRPC ports: mTLS on 15012, plaintext on loopback only on 15010. Opened after the first complete snapshot."""

import contextlib
import ipaddress
from typing import Any

import grpc.aio
import structlog
from meshcore.authentication.call_proofs import CallProofs
from meshcore.errors import ErrorCode, MeshError
from meshcore.tls import LiveIdentity, grpc_server_credentials, ssl_server_context

from pilot.adapters.ads import OPTIONS, AdsService
from pilot.adapters.client_authentication import ClientAuthentication, OfFront, OfGrpc
from pilot.adapters.debug_stream import DebugStream
from pilot.adapters.hub import Hub
from pilot.adapters.registrations import Registrations
from pilot.adapters.tls_front import TlsFront
from pilot.settings import PilotSettings

_log = structlog.get_logger("ads")


class AdsServers:
    """Both servers of one process. With `shared` the ports may be bound by sibling processes too (SO_REUSEPORT)."""

    def __init__(
        self,
        hub: Hub,
        registrations: Registrations | None,
        settings: PilotSettings,
        identity: LiveIdentity | None,
        proofs: CallProofs,
        debug: DebugStream | None = None,
    ) -> None:
        self._hub = hub
        self._registrations = registrations
        self._settings = settings
        self._identity = identity
        self._proofs = proofs
        self._debug = debug
        self._open = contextlib.AsyncExitStack()
        self._servers: list[Any] = []
        self.secure_port = 0
        self.plaintext_port = 0

    async def start(self) -> None:
        """Bind and serve; FAILED_PRECONDITION when a port cannot be bound."""
        settings = self._settings
        if self._identity is not None:
            await self._start_secure(self._identity)
        if settings.plaintext_port >= 0 and (host := self._plaintext_host()):
            plain = self._server(
                ClientAuthentication(OfGrpc(), self._proofs, None) if settings.auth_plaintext else None
            )
            self.plaintext_port = self._bind(plain.add_insecure_port, host, settings.plaintext_port)
            await plain.start()
        _log.info("ads is served", mtls=self.secure_port, plaintext=self.plaintext_port)

    async def stop(self) -> None:
        """End every stream at once; clients reconnect elsewhere or wait."""
        for server in self._servers:
            await server.stop(0)
        await self._open.aclose()

    async def _start_secure(self, identity: LiveIdentity) -> None:
        """gRPC's own TLS, which insists on a client certificate, unless clients may prove themselves by something else:
        it cannot ask for one that may be missing, and TLS before it carries each byte once more."""
        host, port = self._settings.host, self._settings.grpc_port
        if not self._proofs.any:
            server = self._server(ClientAuthentication(OfGrpc(), self._proofs, identity))
            credentials = grpc_server_credentials(identity)
            self.secure_port = self._bind(lambda address: server.add_secure_port(address, credentials), host, port)
            await server.start()
            return
        front = TlsFront()
        server = self._server(ClientAuthentication(OfFront(front), self._proofs, identity))
        context = ssl_server_context(identity, client_certificates="optional")
        listening = front.before(server, host, port, context, reuse_port=self._settings.worker >= 0)
        try:
            self.secure_port = await self._open.enter_async_context(listening)
        except OSError as error:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, f"cannot listen on {host}:{port}") from error

    def _server(self, authentication: ClientAuthentication | None) -> Any:
        shared = int(self._settings.worker >= 0)
        server = grpc.aio.server(options=[*OPTIONS, ("grpc.so_reuseport", shared)])
        # Nobody registers a workload without proving whose it is.
        registrations = None if authentication is None else self._registrations
        service = AdsService(self._hub, registrations, self._settings, authentication, self._debug)
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
