"""TLS that asks for a client certificate but does not insist, in front of gRPC, which cannot do that in Python.

Each connection is passed on to the gRPC server's Unix socket from an abstract address of its own. That address holds
128 random bits, so the gRPC side recognises the connection by it (`context.peer()`) and nobody else can take its place.
A certificate that does not verify against the trust bundle ends the handshake, as it does in Istio.
"""

import asyncio
import contextlib
import secrets
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import structlog
from cryptography import x509
from meshcore.runtime import tasks
from meshcore.tls.peers import verified_chain

HANDSHAKE_TIMEOUT = 10
LARGEST_CONNECTIONS = 16384
DROP_TIMEOUT = 2
"""Seconds that a client has for its handshake, connections at once, seconds until a stop forgets the last ones."""
_PREFIX = "meshcore-"
_BACKLOG = 1024
_log = structlog.get_logger("tls")


class TlsFront:
    """Open connections by the address under which the gRPC server sees them: `context.peer()`."""

    def __init__(self) -> None:
        self._connections: dict[str, _Outside] = {}

    def chain(self, peer: str) -> list[x509.Certificate]:
        """What the client's certificate was verified by, leaf first; empty when it showed none."""
        connection = self._connections.get(_name_of(peer))
        return [] if connection is None else connection.chain

    def address(self, peer: str) -> str:
        """Address and port of the client."""
        connection = self._connections.get(_name_of(peer))
        return "unknown" if connection is None else connection.remote

    @contextlib.asynccontextmanager
    async def before(
        self, server: Any, host: str, port: int, context: ssl.SSLContext, *, reuse_port: bool = False
    ) -> AsyncIterator[int]:
        """Start a grpc.aio server behind this for as long as the block lasts; gives the bound port."""
        # In a directory of mode 0700, with a path short enough for the 107 bytes that such paths may have.
        with tempfile.TemporaryDirectory(prefix=_PREFIX) as directory:
            backend = Path(directory) / "grpc.sock"
            server.add_insecure_port(f"unix:{backend}")
            await server.start()
            async with self._listening(host, port, context, backend, reuse_port=reuse_port) as bound:
                yield bound

    @contextlib.asynccontextmanager
    async def _listening(
        self, host: str, port: int, context: ssl.SSLContext, backend: Path, *, reuse_port: bool
    ) -> AsyncIterator[int]:
        """Accept, and pass on to the Unix socket `backend`.

        On exit open connections are closed.
        """
        context.set_alpn_protocols(["h2"])
        server = await asyncio.get_running_loop().create_server(
            lambda: _Outside(str(backend), self._connections),
            host,
            port,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            backlog=_BACKLOG,
            reuse_port=reuse_port,
        )
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await self._drop_all()
            await server.wait_closed()

    async def _drop_all(self) -> None:
        for connection in tuple(self._connections.values()):
            connection.drop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DROP_TIMEOUT):
                while self._connections:
                    await next(iter(self._connections.values())).gone.wait()


def _name_of(peer: str) -> str:
    return peer.removeprefix("unix-abstract:")


class _Half(asyncio.Protocol):
    """One side of a passed-on connection; what arrives here leaves on the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Half | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        # The peer reads slowly: stop taking from the other side, so that nothing piles up here.
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class _Outside(_Half):
    """The client's side; makes the inner one once TLS stands."""

    def __init__(self, backend: str, connections: "dict[str, _Outside]") -> None:
        super().__init__()
        self._backend = backend
        self._connections = connections
        self._name = f"{_PREFIX}{secrets.token_hex(16)}"
        self._shown: list[bytes] = []
        self._parsed: list[x509.Certificate] | None = None
        self._opening: asyncio.Task[Any] | None = None
        self.remote = "unknown"
        self.gone = asyncio.Event()

    @property
    def chain(self) -> list[x509.Certificate]:
        """Parsed at the first call: most connections carry one request, and one that is refused needs none."""
        if self._parsed is None:
            self._parsed = [x509.load_der_x509_certificate(one) for one in self._shown]
        return self._parsed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None  # noqa: S101 - set by the line above
        if len(self._connections) >= LARGEST_CONNECTIONS:
            _log.warning("connection refused", connections=len(self._connections))
            self.transport.abort()
            return
        remote = transport.get_extra_info("peername")
        self.remote = f"{remote[0]}:{remote[1]}" if isinstance(remote, tuple) else "unknown"
        self._shown = verified_chain(transport.get_extra_info("ssl_object"))
        self._connections[self._name] = self
        self.transport.pause_reading()
        self._opening = tasks.create_task(self._open(), name="tls pass on")

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        inner = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        half = _Half()
        try:
            inner.setblocking(False)
            inner.bind(f"\0{self._name}")
            await loop.sock_connect(inner, self._backend)
            # The server speaks first: what it says right after the connect must already find its way out.
            half.other = self
            await loop.create_unix_connection(lambda: half, sock=inner)
        except OSError as error:
            inner.close()
            _log.error("connection not passed on", error=type(error).__name__)
            self.end()
            return
        self.other = half
        if self.transport is None:
            self.connection_lost(None)
        else:
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.pop(self._name, None)
        self.gone.set()
        super().connection_lost(error)

    def end(self) -> None:
        """Close the client's side, which closes the other."""
        if self.transport is not None:
            self.transport.close()

    def drop(self) -> None:
        """Close both sides without waiting for the client's farewell."""
        for half in (self, self.other):
            if half is not None and half.transport is not None:
                half.transport.abort()
