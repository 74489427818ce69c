"""Serving an ASGI application inside the task group of a service: no process-wide signals, a graceful stop."""

import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.http.callers import PEER_EXTENSION, Authenticator
from meshcore.http.tokens import TokenAuthenticator
from meshcore.runtime import tasks
from meshcore.runtime.settings import ServiceSettings

if TYPE_CHECKING:
    from fastapi import APIRouter

    from meshcore.runtime.service import Runtime
    from meshcore.tls import LiveIdentity

GRACE = 3
"""Seconds that requests in flight get at a stop."""
TOKENS_FILE = "tokens.json"


def _bind(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"cannot listen on {host}:{port}: {error.strerror}") from None
    listener.setblocking(False)
    return listener


@contextlib.asynccontextmanager
async def listening(
    app: Any,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    *,
    reuse_port: bool = False,
    identity: "LiveIdentity | None" = None,
    listener: socket.socket | None = None,
) -> AsyncIterator[int]:
    """Serve `app` for as long as the block lasts; gives the bound port (useful with port 0).

    A client certificate that `identity` knows as revoked, or one above it, proves nobody, from the next request on.

    The port is bound on entry, unless a `listener` that is bound already is given. On exit no new connection is taken
    and requests in flight get `GRACE` seconds.
    """
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    from meshcore.tls.peers import verified_chain

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    class Protocol(HttpToolsProtocol):
        """Puts a verified client certificate into the scope, which the ASGI specification leaves to extensions."""

        _chain: Sequence[bytes] = ()

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._chain = verified_chain(transport.get_extra_info("ssl_object"))

        def on_message_begin(self) -> None:
            super().on_message_begin()
            # At each request: the certificate of an open connection may have been revoked since.
            if self._chain and not _revoked(identity, self._chain):
                self.scope["extensions"] = {PEER_EXTENSION: self._chain[0]}  # type: ignore[dict-item]

    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
    )
    config.load()
    config.ssl = tls
    listener = listener or _bind(host, port, reuse_port=reuse_port)
    server = Server(config)
    bound: int = listener.getsockname()[1]
    task = tasks.create_task(server.serve(sockets=[listener]), name=f"http {host}:{bound}")
    try:
        yield bound
    finally:
        server.should_exit = True
        await task


def _revoked(identity: "LiveIdentity | None", chain: Sequence[bytes]) -> bool:
    if identity is None or not identity.current.revoked:
        return False
    from cryptography import x509

    return identity.current.revokes(map(x509.load_der_x509_certificate, chain))


async def serve(
    app: Any,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    *,
    started: Callable[[int], None] | None = None,
    reuse_port: bool = False,
) -> None:
    """Serve `app` until cancelled; `started` is told the bound port."""
    import asyncio

    async with listening(app, host, port, tls, reuse_port=reuse_port) as bound:
        if started is not None:
            started(bound)
        await asyncio.Event().wait()


def admin_authenticator(settings: ServiceSettings) -> TokenAuthenticator:
    """Who may use the admin API: the tokens of the identity directory, and the control plane's own certificates."""
    path = None if settings.identity_dir is None else settings.identity_dir / TOKENS_FILE
    if path is not None and not path.exists():
        path = None
    return TokenAuthenticator(path, trust_domain=settings.trust_domain, root_namespace=settings.root_namespace)


async def serve_admin(
    runtime: "Runtime[Any]",
    routers: "Sequence[APIRouter]" = (),
    *,
    authenticator: Authenticator | None = None,
    identity: Any = None,
) -> int:
    """Serve the admin API of a service until it stops; returns the port.

    Plain HTTP on a loopback address; beyond it TLS with the service's certificate, client certificates optional
    (`identity` is a LiveIdentity; without one the identity directory is read).
    """
    from meshcore.http.app import create_app

    settings = runtime.settings
    app = create_app(
        runtime.service,
        runtime.version,
        runtime.readiness,
        routers,
        authenticator or admin_authenticator(settings),
    )
    tls = live = None
    if not ipaddress.ip_address(settings.admin_host).is_loopback:
        from meshcore.tls import LiveIdentity, ssl_server_context

        if identity is None and settings.identity_dir is None:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "the admin API needs an identity directory beyond loopback")
        live = identity if identity is not None else LiveIdentity.load(settings.identity_dir)
        tls = ssl_server_context(live, client_certificates="optional")
    port: int = await runtime.enter(
        "admin", listening(app, settings.admin_host, settings.admin_port, tls, identity=live)
    )
    runtime.ports["admin"] = port
    return port
