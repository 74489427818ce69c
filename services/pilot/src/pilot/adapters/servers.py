"""The gRPC ports: mTLS on 15012, plaintext on loopback only on 15010. Opened after the first complete snapshot."""

import contextlib
import ipaddress
import ssl

import structlog
from meshcore.authentication.call_proofs import CallProofs
from meshcore.errors import ErrorCode, MeshError
from meshcore.grpc_server import Bounds, serving
from meshcore.tls import LiveIdentity, ssl_server_context

from pilot.adapters.ads import AdsService
from pilot.adapters.client_authentication import ClientAuthentication
from pilot.adapters.debug_stream import DebugStream
from pilot.adapters.hub import Hub
from pilot.adapters.registrations import Registrations
from pilot.settings import PilotSettings

BOUNDS = Bounds(
    # A proxy that comes back lists all that it holds, with versions.
    message=16 << 20,
    held=20 << 20,
    streams_at_once=1024,
    # Istio's values: a peer that is gone without a word is noticed after these, not when its stream is too old.
    ping_after=30,
    gone_after=40,
    # Streams have no end of their own: who is served here goes elsewhere, or waits.
    grace=0,
)
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
        self.secure_port = 0
        self.plaintext_port = 0

    async def start(self) -> None:
        """Bind and serve; FAILED_PRECONDITION when a port cannot be bound."""
        settings, identity = self._settings, self._identity
        if identity is not None:
            # Who has no certificate need not come in where nothing else proves a client.
            context = ssl_server_context(identity, client_certificates="optional" if self._proofs.any else "required")
            known = ClientAuthentication(self._proofs, identity)
            self.secure_port = await self._listen(settings.host, settings.grpc_port, context, known)
        if settings.plaintext_port >= 0 and (host := self._plaintext_host()):
            told = ClientAuthentication(self._proofs, None) if settings.auth_plaintext else None
            self.plaintext_port = await self._listen(host, settings.plaintext_port, None, told)
        _log.info("ads is served", mtls=self.secure_port, plaintext=self.plaintext_port)

    async def stop(self) -> None:
        """End every stream at once; clients reconnect elsewhere or wait."""
        await self._open.aclose()

    async def _listen(
        self, host: str, port: int, context: ssl.SSLContext | None, authentication: ClientAuthentication | None
    ) -> int:
        # Nobody registers a workload without proving whose it is.
        registrations = None if authentication is None else self._registrations
        service = AdsService(self._hub, registrations, self._settings, authentication, self._debug)
        shared = self._settings.worker >= 0
        listening = serving(service.handlers, host, port, context, BOUNDS, reuse_port=shared)
        try:
            return await self._open.enter_async_context(listening)
        except OSError as error:
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise MeshError(ErrorCode.FAILED_PRECONDITION, f"cannot listen on {address}") from error

    def _plaintext_host(self) -> str:
        """Plaintext never leaves the machine."""
        for host in (self._settings.host, self._settings.plaintext_host):
            if ipaddress.ip_address(host).is_loopback:
                return host
        return ""
