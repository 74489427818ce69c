"""A wire without a socket, and a protocol that notes what it is told: what a layer of TLS has on its two sides."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from meshcore.grpc_server import Bounds
from meshcore.grpc_server.secured import Secured, SecurePort
from meshcore.grpc_server.service import Service
from meshcore.testing.identity import make_ca
from meshcore.testing.tls_client import TlsClient
from meshcore.tls import ssl_client_context, ssl_server_context

CA = make_ca()
OWN = CA.issue("spiffe://cluster.local/ns/a/sa/server")
CLIENT = CA.issue("spiffe://cluster.local/ns/a/sa/client")


class Wire(asyncio.Transport):
    """Keeps what is written until it is taken; a room of None is endless."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 4711)})
        self.protocol: asyncio.BufferedProtocol | None = None
        self.coming = b""
        """What has not been read."""
        self.written: list[bytes] = []
        self.room: int | None = None
        self.reads = True
        self.ended = self.closing = False
        self.gone = asyncio.Event()

    @property
    def aborted(self) -> bool:
        return self.gone.is_set()

    @property
    def backlog(self) -> int:
        return sum(map(len, self.written))

    def write(self, data):
        assert not self.ended
        if data:
            self.written.append(bytes(data))
        if self.room is not None and self.backlog > self.room:
            self.protocol.pause_writing()

    def take(self) -> bytes:
        taken = b"".join(self.written)
        self.written.clear()
        return taken

    def drain(self) -> bytes:
        taken, self.room = self.take(), None
        self.protocol.resume_writing()
        return taken

    def write_eof(self):
        self.ended = True

    def pause_reading(self):
        self.reads = False

    def resume_reading(self):
        self.reads = True
        if self.coming:
            asyncio.get_running_loop().call_soon(self.bring)

    def bring(self, data: bytes = b"") -> None:
        """Something arrives, or what has arrived is read."""
        self.coming += data
        while self.coming and self.reads and not self.is_closing():
            buffer = self.protocol.get_buffer(-1)
            size = min(len(buffer), len(self.coming))
            buffer[:size] = self.coming[:size]
            self.coming = self.coming[size:]
            self.protocol.buffer_updated(size)

    def is_closing(self):
        return self.closing or self.aborted

    def close(self):
        self.closing = True

    def abort(self):
        self.gone.set()


class Noting(asyncio.Protocol):
    """What is above TLS."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.said: list[bytes] = []
        self.paused = self.lost = False
        self.on_data: Callable[[bytes], None] = lambda _: None

    @property
    def text(self) -> bytes:
        return b"".join(self.said)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.said.append(data)
        self.on_data(data)

    def pause_writing(self):
        self.paused = True

    def resume_writing(self):
        self.paused = False

    def connection_lost(self, exc):
        self.lost = True


class Line:
    """A client, a wire and one connection of a port."""

    def __init__(self, lines: "Lines", folder: Path, context) -> None:
        self.lines = lines
        self.wire = Wire()
        self.secured: Secured = lines.port()
        self.wire.protocol = self.secured
        self.client = TlsClient(context, folder)
        self.secured.connection_made(self.wire)

    @property
    def above(self) -> Noting:
        return self.lines.above[self.secured]

    async def greet(self) -> "Line":
        """Shake hands."""
        self.wire.bring(self.client.step())
        while self.secured not in self.lines.above:
            await asyncio.sleep(0)
            if said := self.client.step(self.wire.take()):
                self.wire.bring(said)
        return self

    def heard(self) -> bytes:
        """What the server has said."""
        return self.client.read(self.wire.take())


class Lines:
    """One port and its connections."""

    def __init__(self, folder: Path, *, certificates="optional", **limits) -> None:
        self.folder = folder
        self.above: dict[Secured, Noting] = {}
        self.service = Service({}, Bounds(message=1000, **limits))
        self.port = SecurePort(ssl_server_context(OWN, client_certificates=certificates), self.service, self._serve)

    def _serve(self) -> Noting:
        lines = self

        class Above(Noting):
            def connection_made(self, transport):
                super().connection_made(transport)
                lines.above[transport] = self

        return Above()

    def line(self, identity=CLIENT) -> Line:
        """A client that has connected and said nothing."""
        context = ssl_client_context(identity)
        context.set_alpn_protocols(["h2"])
        return Line(self, self.folder, context)
