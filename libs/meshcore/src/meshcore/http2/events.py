"""What a connection tells, and what a client may have. Pure."""

from dataclasses import dataclass, field

from meshcore.http2 import frames
from meshcore.http2.frames import Code
from meshcore.http2.hpack import Headers


@dataclass(frozen=True, slots=True)
class Limits:
    """Streams at once; bytes on the way to a stream, and to all of them."""

    streams: int = 128
    stream_window: int = frames.FIRST_WINDOW
    connection_window: int = 1024 * 1024


@dataclass(slots=True)
class Requested:
    """A stream has begun; `ended` when nothing follows the headers."""

    stream: int
    headers: Headers = field(repr=False)
    ended: bool


@dataclass(slots=True)
class Received:
    """Content of a stream; the client may send as much again once `consumed` says so."""

    stream: int
    data: bytes = field(repr=False)
    ended: bool


@dataclass(slots=True)
class Reset:
    """The client has given the stream up, or broken its rules: nothing can be sent on it."""

    stream: int


@dataclass(slots=True)
class Flushed:
    """All that waited on the stream has found room in the client's windows."""

    stream: int


@dataclass(slots=True)
class Violated:
    """The connection is over: write the output, which tells the client why, and close it."""

    code: Code
    reason: str


Event = Requested | Received | Reset | Flushed | Violated
