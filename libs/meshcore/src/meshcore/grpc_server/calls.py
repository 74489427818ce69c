"""One call: who makes it, its messages both ways."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from cryptography import x509

from meshcore.errors import ErrorCode, MeshError
from meshcore.grpc_server.heads import Head
from meshcore.grpc_server.messages import PREFIX, Messages, framed
from meshcore.http2.hpack import Headers

ROOM = 64 * 1024
"""Bytes of messages, and of what frames them, that wait to be read before the client is to wait too."""


class Peer:
    """The other end of a connection. `remembered` is for those who serve it, as long as it is open."""

    def __init__(self, address: str, shown: Sequence[bytes] = ()) -> None:
        self.address = address
        self.remembered: dict[str, Any] = {}
        self._shown = shown

    @cached_property
    def chain(self) -> list[x509.Certificate]:
        """What its client certificate was verified by, leaf first; empty when it showed none. Parsed when asked for."""
        return [x509.load_der_x509_certificate(one) for one in self._shown]


class Way(Protocol):
    """What a call needs of its connection."""

    def send(self, stream: int, data: bytes) -> bool:
        """Send a message; False when it waits for room."""

    async def room(self, stream: int) -> None:
        """Return when nothing waits any more."""

    def consumed(self, stream: int, size: int, *, held: int) -> None:
        """So much content was taken; `held` is by how much more or less memory the call holds now."""


class Call:
    """What a handler sees of a call."""

    def __init__(self, way: Way, peer: Peer, head: Head, stream: int, largest: int) -> None:
        self.peer = peer
        self.head = head
        self.stream = stream
        self.ended = False
        """Whether the client has said all."""
        self.answered = False
        """Whether the answer has begun."""
        self.task: asyncio.Task[Any] | None = None
        self.deadline: float | None = None
        self.held = 0
        self._way = way
        self._messages = Messages(largest, head.encoding)
        self._inbox: deque[bytes] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._unpaid = 0
        self._waiting = 0

    @property
    def metadata(self) -> Headers:
        """Headers of the request, in order."""
        return self.head.metadata

    @property
    def inbox(self) -> deque[bytes]:
        """Messages that nobody has read yet."""
        return self._inbox

    def feed(self, data: bytes, *, ended: bool) -> None:
        """Content has arrived; MeshError when it makes no sense."""
        messages = self._messages.add(data)
        self._inbox.extend(messages)
        self._waiting += sum(map(_size, messages))
        self.ended = ended
        self._unpaid += len(data)
        self._account()
        if ended and self._messages.partial:
            raise MeshError(ErrorCode.INTERNAL, "the last message is cut off")
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _account(self) -> None:
        """Let the client send on while little waits here, or a message needs more to be whole."""
        before, self.held = self.held, self._waiting + self._messages.partial
        paid = self._unpaid if self._waiting < ROOM else 0
        self._unpaid -= paid
        self._way.consumed(self.stream, paid, held=self.held - before)

    async def read(self) -> bytes | None:
        """The next message; None when there is none any more."""
        while not self._inbox:
            if self.ended:
                return None
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        message = self._inbox.popleft()
        self._waiting -= _size(message)
        self._account()
        return message

    async def write(self, message: bytes) -> None:
        """Send a message; returns when there is room for the next."""
        if not self._way.send(self.stream, framed(message)):
            await self._way.room(self.stream)


def _size(message: bytes) -> int:
    """What it counts for while it waits: an empty one is something, too."""
    return PREFIX + len(message)


@dataclass(frozen=True, slots=True)
class Unary:
    """One message for one. `parse` gets its bytes; what it raises for bytes that are none is answered INTERNAL."""

    parse: Callable[[bytes], Any]
    serve: Callable[[Any, Call], Awaitable[Any]]
    """Gives a message of protobuf."""


@dataclass(frozen=True, slots=True)
class Streaming:
    """Reads and writes as it likes; the stream ends when it returns."""

    serve: Callable[[Call], Awaitable[None]]


Handler = Unary | Streaming
"""A MeshError that is raised is the status of the call; anything else is UNKNOWN, and logged."""
