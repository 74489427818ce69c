"""One connection: what its HTTP/2 says goes to calls, what they answer goes out."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import structlog

from meshcore.errors import GRPC_STATUS, ErrorCode, MeshError
from meshcore.grpc_server import heads
from meshcore.grpc_server.calls import Call, Handler, Peer, Streaming, Unary
from meshcore.grpc_server.heads import Head, Malformed
from meshcore.grpc_server.messages import framed
from meshcore.grpc_server.turns import Turns
from meshcore.http2 import Code, Connection, Flushed, Limits, Received, Requested, Reset, Violated
from meshcore.http2.hpack import Headers
from meshcore.runtime import tasks
from meshcore.tls.peers import verified_chain

PING_AFTER = 60
GONE_AFTER = 80
GREETING = 10
STALLED_AFTER = 60
"""Seconds: of silence until a ping, and until the end; for the first bytes; that a client may leave answers lie."""
MOST_HELD = 4 * 1024 * 1024
"""Bytes of messages that one connection may have lying here, unread or not whole."""
TOO_MANY = "too many calls at once"
_log = structlog.get_logger("grpc")


@dataclass(slots=True)
class Service:
    """What all connections of a server share."""

    handlers: Mapping[str, Handler]
    largest_message: int
    most_calls: int
    most_streams: int
    most_connections: int
    turns: Turns
    connections: "set[Served]"
    calls: int = 0
    streams: int = 0
    """Unary calls and streams that are open."""
    unsaid: "dict[Call, Served]" = field(default_factory=dict)
    """Unary calls whose message has not come, the oldest first."""

    def make_room_for(self, handler: Handler) -> bool:
        """Whether one more may begin. A unary call may have the place of one that has not said what it asks: who only
        begins calls keeps nobody out."""
        if isinstance(handler, Streaming):
            return self.streams < self.most_streams
        if self.calls >= self.most_calls and self.unsaid:
            oldest, connection = next(iter(self.unsaid.items()))
            connection.refuse(oldest)
        return self.calls < self.most_calls

    def count(self, handler: Handler, change: int) -> None:
        """One more, or one less."""
        if isinstance(handler, Streaming):
            self.streams += change
        else:
            self.calls += change


class Served(asyncio.Protocol):
    """A client's connection after its TLS handshake."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connection = Connection(Limits())
        self._calls: dict[int, Call] = {}
        self._ready: deque[Call] = deque()
        self._transport: asyncio.Transport | None = None
        self._peer = Peer("unknown")
        self._known: tuple[Headers, Head] | None = None
        self._roomless: dict[int, asyncio.Future[None]] = {}
        self._held = self._silent = self._stalled = 0
        self._greeted = self._paused = False
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS stands."""
        self._transport = cast(asyncio.Transport, transport)
        if len(self._service.connections) >= self._service.most_connections:
            _log.warning("connection refused", connections=len(self._service.connections))
            self._transport.abort()
            return
        remote = transport.get_extra_info("peername")
        address = f"{remote[0]}:{remote[1]}" if isinstance(remote, tuple) else "unknown"
        self._peer = Peer(address, verified_chain(transport.get_extra_info("ssl_object")))
        self._service.connections.add(self)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """The client says something."""
        self._greeted = True
        for event in self._connection.receive(data):
            if isinstance(event, Received):
                self._received(event)
            elif isinstance(event, Requested):
                self._requested(event)
            elif isinstance(event, Reset):
                self._given_up(event.stream)
            elif isinstance(event, Flushed):
                self._has_room(event.stream)
            elif isinstance(event, Violated):
                self._violated(event.reason)
        self._flush()

    def _violated(self, reason: str) -> None:
        _log.info("connection ended", peer=self._peer.address, reason=reason)
        self._flush()
        if self._transport is not None:
            self._transport.close()
        self._drop_calls()

    def connection_lost(self, _: Exception | None) -> None:
        """What its calls were doing is given up."""
        self._transport = None
        self._service.connections.discard(self)
        self._drop_calls()
        self.gone.set()

    def _drop_calls(self) -> None:
        for stream in tuple(self._calls):
            self._given_up(stream)

    def pause_writing(self) -> None:
        """The client reads slowly: it is to ask no more until it has read, so that nothing piles up here."""
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has read: it may go on, and so may what waited for that."""
        self._paused = False
        self._stalled = 0
        if self._transport is not None:
            self._transport.resume_reading()
        for stream in tuple(self._roomless):
            self._has_room(stream)

    def _flush(self) -> None:
        output = self._connection.take_output()
        if output and self._transport is not None:
            self._transport.write(output)

    def _requested(self, event: Requested) -> None:
        known = self._known
        if known is not None and known[0] is event.headers:
            head = known[1]
        else:
            try:
                head = heads.read_head(event.headers)
            except Malformed:
                self._connection.reset(event.stream, Code.PROTOCOL_ERROR)
                return
            self._known = (event.headers, head)
        handler = self._service.handlers.get(head.method)
        if head.refusal is not None:
            self._connection.headers(event.stream, head.refusal, ended=True)
        elif handler is None:
            self._refuse(event.stream, heads.UNIMPLEMENTED, "there is no such method")
        elif not self._service.make_room_for(handler):
            self._refuse(event.stream, GRPC_STATUS[ErrorCode.RESOURCE_EXHAUSTED], TOO_MANY)
        else:
            self._begin(event, head, handler)

    def _begin(self, event: Requested, head: Head, handler: Handler) -> None:
        call = Call(self, self._peer, head, event.stream, self._service.largest_message)
        if head.timeout is not None:
            call.deadline = asyncio.get_running_loop().time() + head.timeout
        self._calls[event.stream] = call
        self._service.count(handler, 1)
        if isinstance(handler, Streaming):
            self._start(call)
        else:
            self._service.unsaid[call] = self
        if event.ended:
            self._feed(call, b"")

    def _received(self, event: Received) -> None:
        call = self._calls.get(event.stream)
        if call is not None:
            self._feed(call, event.data, ended=event.ended)

    def _feed(self, call: Call, data: bytes, *, ended: bool = True) -> None:
        try:
            call.feed(data, ended=ended)
            if self._held > MOST_HELD:
                self._connection.break_off(Code.ENHANCE_YOUR_CALM, "too much is left lying")
                self._violated("too much is left lying")
            elif ended and call.task is None:
                if len(call.inbox) != 1:
                    raise MeshError(ErrorCode.INTERNAL, "the call has one message")
                self._start(call)
        except MeshError as error:
            self._end(call, error.code, error.detail)

    def _start(self, call: Call) -> None:
        self._service.unsaid.pop(call, None)
        self._ready.append(call)
        self._service.turns.wants(self)

    def take_turn(self) -> bool:
        """Start one call; whether there are more."""
        while self._ready:
            call = self._ready.popleft()
            if call.stream in self._calls:
                call.task = tasks.create_task(self._run(call), name="grpc call")
                break
        return bool(self._ready)

    async def _run(self, call: Call) -> None:
        handler = self._service.handlers[call.head.method]
        status, detail = heads.OK, ""
        try:
            if isinstance(handler, Unary):
                await self._run_unary(call, handler)
            else:
                await handler.serve(call)
        except asyncio.CancelledError:
            # Who gave the call up has forgotten it before; if it was something that the handler waited for, say so.
            self._finish(call, GRPC_STATUS[ErrorCode.UNAVAILABLE], "the call was given up")
            raise
        except MeshError as error:
            status, detail = GRPC_STATUS[error.code], error.detail
        except Exception as error:  # noqa: BLE001 - whatever a handler's fault is, it ends its call alone
            _log.error("call failed", method=call.head.method, exc_info=error)
            status, detail = heads.UNKNOWN, "the call failed"
        self._finish(call, status, detail)

    async def _run_unary(self, call: Call, handler: Unary) -> None:
        try:
            request = handler.parse(call.inbox[0])
        except Exception:  # noqa: BLE001 - protobuf's own error, whichever of its implementations is there
            raise MeshError(ErrorCode.INTERNAL, "the message is not readable") from None
        answer = framed((await handler.serve(request, call)).SerializeToString())
        if call.stream in self._calls:
            self._connection.headers(call.stream, heads.ANSWER)
            self._connection.content(call.stream, answer)
            call.answered = True

    def _finish(self, call: Call, status: int, detail: str) -> None:
        """Answer with a status; nothing for a call that is over."""
        if self._forget(call.stream) is None:
            return
        if call.answered:
            block = heads.DONE if status == heads.OK else heads.ending(status, detail)
            self._connection.headers(call.stream, block, ended=True)
        elif status == heads.OK:
            self._connection.headers(call.stream, heads.ANSWER)
            self._connection.headers(call.stream, heads.DONE, ended=True)
        else:
            self._refuse(call.stream, status, detail)
        self._flush()

    def _end(self, call: Call, code: ErrorCode, detail: str) -> None:
        """Answer with a status, whatever the handler is about to do."""
        self._finish(call, GRPC_STATUS[code], detail)
        if call.task is not None:
            call.task.cancel()

    def refuse(self, call: Call) -> None:
        """Others need its place."""
        self._end(call, ErrorCode.RESOURCE_EXHAUSTED, TOO_MANY)

    def _refuse(self, stream: int, status: int, detail: str) -> None:
        self._connection.headers(stream, heads.refusal(status, detail), ended=True)

    def _forget(self, stream: int) -> Call | None:
        call = self._calls.pop(stream, None)
        if call is not None:
            self._service.unsaid.pop(call, None)
            self._service.count(self._service.handlers[call.head.method], -1)
            self._held -= call.held
            self._has_room(stream)
        return call

    def _given_up(self, stream: int) -> None:
        call = self._forget(stream)
        if call is not None and call.task is not None:
            call.task.cancel()

    def send(self, stream: int, data: bytes) -> bool:
        """Part of an answer, its first with the headers before it."""
        call = self._calls.get(stream)
        if call is None:
            return True
        if not call.answered:
            call.answered = True
            self._connection.headers(stream, heads.ANSWER)
        went = self._connection.content(stream, data)
        self._flush()
        return went and not self._paused

    async def room(self, stream: int) -> None:
        """Until everything of the stream is on its way, or the stream is over."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._roomless[stream] = waiting
        try:
            await waiting
        finally:
            self._roomless.pop(stream, None)

    def _has_room(self, stream: int) -> None:
        waiting = self._roomless.get(stream)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def consumed(self, stream: int, size: int, *, held: int) -> None:
        """Content was taken: the client may send as much again."""
        self._held += held
        if size:
            self._connection.consumed(stream, size)
            self._flush()

    def second_passed(self, now: float) -> None:
        """End what takes too long, and who is not there any more."""
        connection = self._connection
        connection.second_passed()
        for call in [one for one in self._calls.values() if one.deadline is not None and one.deadline <= now]:
            self._end(call, ErrorCode.DEADLINE_EXCEEDED, "the call took too long")
        self._silent = 0 if connection.alive else self._silent + 1
        connection.alive = False
        self._stalled = self._stalled + 1 if self._paused or connection.waits else 0
        if self._silent == PING_AFTER:
            connection.ping()
            self._flush()
        if self._silent >= (GONE_AFTER if self._greeted else GREETING) or self._stalled >= STALLED_AFTER:
            self.drop()

    def leave(self) -> None:
        """Tell the client to go elsewhere with its next calls."""
        self._connection.leave()
        self._flush()

    @property
    def running(self) -> tuple[asyncio.Task[Any], ...]:
        """What works on calls."""
        return tuple(call.task for call in self._calls.values() if call.task is not None)

    def stop_calls(self) -> None:
        """End what still runs."""
        for call in tuple(self._calls.values()):
            self._end(call, ErrorCode.UNAVAILABLE, "the server stops")

    def drop(self) -> None:
        """End the connection without waiting for the client's farewell."""
        if self._transport is not None:
            self._transport.abort()
