"""What all connections of a server share, and what they may have together."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import structlog

from meshcore.grpc_server.bounds import Bounds
from meshcore.grpc_server.calls import Call, Handler, Streaming
from meshcore.grpc_server.turns import Turns
from meshcore.http2 import Cuts

if TYPE_CHECKING:
    from meshcore.grpc_server.served import Served

_log = structlog.get_logger("grpc")


class Service:
    """The methods, and accounts of connections, calls and memory."""

    def __init__(self, handlers: Mapping[str, Handler], bounds: Bounds) -> None:
        self.handlers = handlers
        self.bounds = bounds
        self.turns = Turns()
        self.cuts = Cuts()
        self._connections: set[Served] = set()
        self._unsaid: dict[Call, Served] = {}
        """Unary calls whose message has not come, the oldest first."""
        self._calls = self._streams = self._held = 0
        self.deserted = asyncio.Event()
        """Set while there is no connection."""
        self.deserted.set()

    def __iter__(self) -> "Iterator[Served]":
        return iter(tuple(self._connections))

    def has_room(self) -> bool:
        """Whether there may be one connection more."""
        if len(self._connections) < self.bounds.connections:
            return True
        _log.warning("connection refused", connections=self.bounds.connections)
        return False

    def joined(self, one: "Served") -> None:
        """A connection stands."""
        self._connections.add(one)
        self.deserted.clear()

    def left(self, one: "Served") -> None:
        """It is over."""
        self._connections.discard(one)
        if not self._connections:
            self.deserted.set()

    def make_room_for(self, handler: Handler) -> bool:
        """Whether one more may begin. A unary call may have the place of one that has not said what it asks: who only
        begins calls keeps nobody out."""
        if isinstance(handler, Streaming):
            return self._streams < self.bounds.streams
        if self._calls >= self.bounds.calls and self._unsaid:
            oldest, connection = next(iter(self._unsaid.items()))
            connection.refuse(oldest)
        return self._calls < self.bounds.calls

    def began(self, call: Call, connection: "Served") -> None:
        """A call has its place."""
        if isinstance(call.handler, Streaming):
            self._streams += 1
        else:
            self._calls += 1
            self._unsaid[call] = connection

    def said(self, call: Call) -> None:
        """A call's message has come."""
        self._unsaid.pop(call, None)

    def ended(self, call: Call) -> None:
        """A call gives its place back."""
        self._unsaid.pop(call, None)
        self._held -= call.held
        if isinstance(call.handler, Streaming):
            self._streams -= 1
        else:
            self._calls -= 1

    def hold(self, size: int) -> None:
        """So much more, or less, lies here."""
        self._held += size
        if size > 0 and self._held > self.bounds.held_in_all:
            max(self._connections, key=lambda one: one.held).break_off("too much is left lying here")
