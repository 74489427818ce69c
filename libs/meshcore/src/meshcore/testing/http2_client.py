"""A client of HTTP/2 that says what a test wants, frame by frame, and keeps no rule that the test does not keep."""

import asyncio
import contextlib
import ssl

from meshcore.http2 import frames
from meshcore.http2.frames import frame
from meshcore.http2.hpack import encode

HEADERS = (
    (":method", "POST"),
    (":scheme", "https"),
    (":path", "/"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)


class FrameClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(
        cls, host: str, port: int, context: ssl.SSLContext | None, settings: dict[int, int] | None = None
    ) -> "FrameClient":
        """Connected, preface and settings sent."""
        if context is not None:
            context.set_alpn_protocols(["h2"])
        client = cls(*await asyncio.open_connection(host, port, ssl=context))
        client.writer.write(frames.PREFACE + frames.settings(settings or {}))
        return client

    def call(
        self,
        stream: int,
        path: str,
        message: bytes = b"",
        *,
        ended: bool = True,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """A call of gRPC with one message."""
        block = encode((*((name, path if name == ":path" else value) for name, value in HEADERS), *headers))
        self.writer.write(frame(frames.HEADERS, frames.END_HEADERS, stream, block))
        self.say(stream, message, ended=ended)

    def say(self, stream: int, message: bytes, *, ended: bool = False) -> None:
        """One more message."""
        content = b"\0" + len(message).to_bytes(4) + message
        self.writer.write(frame(frames.DATA, frames.END_STREAM if ended else 0, stream, content))

    async def next(self) -> tuple[int, int, int, bytes]:
        """Kind, flags, stream and payload of the next frame."""
        upper, lower, kind, flags, stream = frames.HEAD.unpack(await self.reader.readexactly(frames.HEAD_SIZE))
        return kind, flags, stream, await self.reader.readexactly(upper << 8 | lower)

    async def until(self, kind: int, stream: int) -> tuple[int, int, int, bytes]:
        """The next frame of that kind of that stream; all before it are dropped."""
        while True:
            found = await self.next()
            if (found[0], found[2]) == (kind, stream):
                return found

    async def ended(self) -> bytes:
        """What comes until the server ends the connection."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            return await self.reader.read()
        return b""

    def close(self) -> None:
        """At once."""
        self.writer.transport.abort()
