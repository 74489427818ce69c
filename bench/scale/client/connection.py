"""HTTP/2 as far as one gRPC call on one connection needs it, on asyncio; windows as Envoy announces them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from meshcore.http2 import frames
from meshcore.http2.hpack import Decoder, encode
from meshcore.http2.outgoing import Outgoing

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
STREAM_WINDOW, CONNECTION_WINDOW = 16 << 20, 24 << 20
STREAM = 1
_PREFIX = 5
_SMALL = 4096
"""Bytes that are copied faster than they are looked at in place."""
_LARGEST_HEADERS = 64 * 1024


class Wire(Protocol):
    """What bytes are written to: a transport, or TLS over one."""

    def write(self, data: bytes) -> None:
        """Send, some time."""

    def abort(self) -> None:
        """End at once."""


def opening(authority: str, *, secure: bool) -> bytes:
    """What a client says first: preface, settings, its window, and the call's headers."""
    headers = (
        (":method", "POST"),
        (":scheme", "https" if secure else "http"),
        (":path", METHOD),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    )
    return (
        frames.PREFACE
        + frames.settings({frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW})
        + frames.window_update(0, CONNECTION_WINDOW - frames.FIRST_WINDOW)
        + frames.frame(frames.HEADERS, frames.END_HEADERS, STREAM, encode(headers))
    )


class Call:
    """One call: `received` gets each message, `ended` the reason, once."""

    def __init__(self, opened: bytes, received: Callable[[bytes], None], ended: Callable[[str], None]) -> None:
        self._received, self._ended = received, ended
        self._out = Outgoing(opened)
        self._out.open(STREAM, 0, False)
        self._wire: Wire | None = None
        self._input = b""
        self._pieces: list[bytes | memoryview] = []
        self._size, self._wanted = 0, _PREFIX
        """Content that is no whole message yet, its bytes, and how many of them are needed to go on."""
        self._headers: list[bytes] = []
        self._stream_taken = self._connection_taken = 0
        self._over = False

    @property
    def goes_on(self) -> bool:
        """Until it is closed or has ended."""
        return not self._over

    def began(self, wire: Wire) -> None:
        """The connection stands."""
        self._wire = wire
        if self._over:
            wire.abort()
            return
        self._flush()

    def send(self, *messages: bytes) -> None:
        """Requests, in one write if the server's windows let them."""
        for message in messages:
            self._out.content(STREAM, b"\0" + len(message).to_bytes(4) + message)
        self._flush()

    def close(self) -> None:
        """End the connection; nothing is told."""
        self._over = True
        if self._wire is not None:
            self._wire.abort()

    def over(self, reason: str) -> None:
        """The connection or the stream has ended."""
        if not self._over:
            self._over = True
            if self._wire is not None:
                self._wire.abort()
            self._ended(reason)

    def take(self, data: bytes) -> None:
        """Bytes that came."""
        data = self._input + data if self._input else data
        offset, size = 0, len(data)
        while size - offset >= frames.HEAD_SIZE and not self._over:
            upper, lower, kind, flags, stream = frames.HEAD.unpack_from(data, offset)
            end = offset + frames.HEAD_SIZE + (upper << 8 | lower)
            if end > size:
                break
            begin, offset = offset + frames.HEAD_SIZE, end
            if kind != frames.DATA:
                self._other(kind, flags, stream, data[begin:end])
            elif end - begin < _SMALL:
                self._data(data[begin:end])
            else:
                self._data(memoryview(data)[begin:end])
        self._input = data[offset:]
        if self._out.size and not self._over:
            self._flush()

    def _flush(self) -> None:
        while self._wire is not None and self._out.size:
            self._wire.write(b"".join(self._out.take()))
            tuple(self._out.flush())

    def _data(self, payload: bytes | memoryview) -> None:
        self._stream_taken += len(payload)
        self._connection_taken += len(payload)
        if self._stream_taken > STREAM_WINDOW // 2:
            self._out.say(frames.window_update(STREAM, self._stream_taken))
            self._stream_taken = 0
        if self._connection_taken > CONNECTION_WINDOW // 2:
            self._out.say(frames.window_update(0, self._connection_taken))
            self._connection_taken = 0
        if not self._pieces and len(payload) >= _PREFIX and len(payload) == _whole(payload):
            self._received(bytes(payload[_PREFIX:]))
            return
        self._pieces.append(payload)
        self._size += len(payload)
        if self._size >= self._wanted:
            self._take_pieces()

    def _take_pieces(self) -> None:
        """Messages that came in several frames, or several in one."""
        content, place = b"".join(self._pieces), 0
        while (left := len(content) - place) >= (wanted := _whole(content, place) if left >= _PREFIX else _PREFIX):
            self._received(content[place + _PREFIX : place + wanted])
            place += wanted
        self._pieces, self._size, self._wanted = [content[place:]] if left else [], left, wanted

    def _other(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == frames.SETTINGS and not flags & frames.ACK:
            for place in range(0, len(payload), 6):
                if int.from_bytes(payload[place : place + 2]) == frames.INITIAL_WINDOW_SIZE:
                    self._out.first_window(int.from_bytes(payload[place + 2 : place + 6]))
            self._out.say(frames.frame(frames.SETTINGS, frames.ACK, 0))
            tuple(self._out.flush())
        elif kind == frames.PING and not flags & frames.ACK:
            self._out.say(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.WINDOW_UPDATE:
            self._out.widen(stream, int.from_bytes(payload))
            tuple(self._out.flush())
        elif kind == frames.HEADERS:
            self._headers.append(payload)
            if flags & frames.END_STREAM:
                self.over(self._status())
        elif kind == frames.RST_STREAM:
            self.over(f"reset with {int.from_bytes(payload)}")
        elif kind == frames.GOAWAY and int.from_bytes(payload[:4]) < STREAM:
            self.over("the server goes away")

    def _status(self) -> str:
        """What the trailers say; header blocks are read only for this."""
        decoder = Decoder(_LARGEST_HEADERS)
        found = dict(header for block in self._headers for header in decoder.decode(block))
        return f"status {found.get('grpc-status', '?')} {found.get('grpc-message', '')}".strip()


def _whole(content: bytes | memoryview, place: int = 0) -> int:
    """Bytes of the message that begins there, with its prefix."""
    return _PREFIX + int.from_bytes(content[place + 1 : place + _PREFIX])


class PlainWire(asyncio.Protocol):
    """A connection without TLS."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say the first words."""
        self._call.began(transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """To the call."""
        self._call.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """To the call."""
        self._call.over(f"connection lost: {exc}" if exc else "connection closed")
