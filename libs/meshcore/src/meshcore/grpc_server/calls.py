"""One call: who makes it, its messages both ways."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from cryptography import x509

from meshcore.errors import ErrorCode, MeshError
from meshcore.grpc_server.heads import Head
from meshcore.grpc_server.messages import PREFIX, Messages
from meshcore.http2.hpack import Headers

ROOM = 64 * 1024
"""Bytes of messages, and of what frames them, that wait to be read before the client is to wait too."""


class Peer:
    """The other end of a connection. `remembered` is for those who serve it, as long as it is open."""

    __slots__ = ("_chain", "_remembered", "_shown", "address")

    def __init__(self, address: str, shown: Sequence[bytes] = ()) -> None:
        self.address = address
        self._remembered: dict[str, Any] | None = None
        self._shown = shown
        self._chain: list[x509.Certificate] | None = None

    @property
    def remembered(self) -> dict[str, Any]:
        """Empty at first."""
        if self._remembered is None:
            self._remembered = {}
        return self._remembered

    @property
    def chain(self) -> list[x509.Certificate]:
        """What its client certificate was verified by, leaf first; empty when it showed none. Parsed when asked for."""
        if self._chain is None:
            self._chain = [x509.load_der_x509_certificate(one) for one in self._shown]
            self._shown = ()
        return self._chain


class Way(Protocol):
    """What a call needs of its connection."""

    def send(self, call: "Call", message: bytes) -> bool:
        """Send a message; False when some of it waits for room."""

    async def room(self, call: "Call") -> None:
        """Return when nothing waits any more."""

    def consumed(self, call: "Call", size: int, *, held: int) -> None:
        """So much content was taken; `held` is by how much more or less memory the call holds now."""


class Call:
    """What a handler sees of a call."""

    __slots__ = (
        *("_inbox", "_messages", "_unpaid", "_waiting", "_way", "_welcome", "answered", "deadline", "ended"),
        *("handler", "head", "held", "on_news", "peer", "stream", "task"),
    )

    def __init__(self, way: Way, peer: Peer, head: Head, handler: "Handler", stream: int, largest: int) -> None:
        self.peer = peer
        self.head = head
        self.handler = handler
        self.stream = stream
        self.ended = False
        """Whether the client has said all."""
        self.answered = False
        """Whether the answer has begun."""
        self.task: asyncio.Task[Any] | None = None
        self.deadline: float | None = None
        self.held = head.size
        """Bytes that lie here: its headers, and messages that are not whole or not read."""
        self.on_news: Callable[[], None] | None = None
        """Called when a message has come, or the client has said all."""
        self._way = way
        self._messages = Messages(largest, head.encoding)
        self._inbox: deque[bytes] | None = None
        self._unpaid = 0
        self._waiting = 0
        """Bytes that wait here, with what framed them: an empty message is something, too."""
        self._welcome = not (isinstance(handler, Streaming) and handler.guarded)

    @property
    def metadata(self) -> Headers:
        """Headers of the request, in order."""
        return self.head.metadata

    @property
    def unread(self) -> int:
        """Messages that nobody has taken yet."""
        return 0 if self._inbox is None else len(self._inbox)

    def feed(self, data: bytes, *, ended: bool) -> None:
        """Content has arrived, to be looked at by `settle`; MeshError when it makes no sense."""
        messages = self._messages.add(data)
        if messages:
            if self._inbox is None:
                self._inbox = deque()
            for message in messages:
                self._inbox.append(message)
                self._waiting += PREFIX + len(message)
        self.ended = ended
        self._unpaid += len(data)
        if ended and self._messages.partial:
            raise MeshError(ErrorCode.INTERNAL, "the last message is cut off")

    def settle(self) -> None:
        """All that came together is here: its handler may look. What it takes on the spot has never lain here."""
        if self.on_news is not None and (self._inbox is not None or self.ended):
            self.on_news()
        self._account()

    def welcome(self) -> None:
        """The client of a guarded stream may say more than its first window has room for."""
        self._welcome = True
        self._account()

    def _account(self) -> None:
        """Let the client send on while little waits here, or a message needs more to be whole."""
        held, paid = self.head.size + self._waiting + self._messages.partial, 0
        if self._welcome and self._waiting < ROOM:
            paid, self._unpaid = self._unpaid, 0
        if paid or held != self.held:
            grown, self.held = held - self.held, held
            self._way.consumed(self, paid, held=grown)

    def take(self) -> bytes | None:
        """The next message, if it has come."""
        if self._inbox is None:
            return None
        message = self._inbox.popleft()
        if not self._inbox:
            self._inbox = None
        self._waiting -= PREFIX + len(message)
        self._account()
        return message

    async def read(self) -> bytes | None:
        """The next message; None when there is none any more."""
        while self._inbox is None and not self.ended:
            arrived = asyncio.get_running_loop().create_future()
            self.on_news = partial(_arrive, arrived)
            try:
                await arrived
            finally:
                self.on_news = None
        return self.take()

    def send(self, message: bytes) -> bool:
        """Send a message; False when some of it waits: `room` tells when there is room for the next."""
        return self._way.send(self, message)

    async def room(self) -> None:
        """Return when everything is on its way, or the call is over."""
        await self._way.room(self)

    async def write(self, message: bytes) -> None:
        """Send a message; returns when there is room for the next."""
        if not self.send(message):
            await self.room()


def _arrive(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)


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
    guarded: bool = False
    """Whether a client may say no more than one window has room for until its handler calls `welcome`: so little lies
    here for a client that nobody has looked at."""


Handler = Unary | Streaming
"""A MeshError that is raised is the status of the call; anything else is UNKNOWN, and logged."""
