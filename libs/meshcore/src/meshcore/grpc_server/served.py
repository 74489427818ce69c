"""One connection: what its HTTP/2 says goes to calls, what they answer goes out."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

import structlog

from meshcore.errors import GRPC_STATUS, ErrorCode, MeshError
from meshcore.grpc_server import heads
from meshcore.grpc_server.calls import Call, Handler, Peer, Streaming, Unary
from meshcore.grpc_server.heads import Head, Malformed
from meshcore.grpc_server.messages import prefix
from meshcore.grpc_server.service import Service
from meshcore.http2 import Code, Connection, Flushed, Limits, Received, Requested, Reset, Violated
from meshcore.http2.hpack import Headers
from meshcore.runtime import tasks
from meshcore.tls.peers import verified_chain

AT_ONCE = 64 * 1024
"""Bytes that the transport takes before it says that it has enough."""
MOST_BACKLOG = 128 * 1024
"""Bytes for a client that does not read beyond which it is not listened to either."""
GOOD_PART = 16 * 1024
"""Bytes that a client has to take of what lies for it to count as somebody who takes it."""
TOO_MANY = "too many calls at once"
_log = structlog.get_logger("grpc")


class Served(asyncio.Protocol):
    """A client's connection, after its TLS handshake if there is one."""

    __slots__ = (
        *("_calls", "_connection", "_greeted", "_known", "_paused", "_peer", "_ready", "_roomless"),
        *("_seen", "_service", "_silent", "_stalled", "_transport", "_unfinished", "held"),
    )

    def __init__(self, service: Service) -> None:
        self._service = service
        self._connection = Connection(Limits(streams=service.bounds.streams_at_once), service.cuts)
        self._calls: dict[int, Call] = {}
        self._ready: deque[Call] | None = None
        self._transport: asyncio.Transport | None = None
        self._peer = Peer("unknown")
        self._known: tuple[Headers, Head] | None = None
        self._roomless: dict[int, asyncio.Future[None]] | None = None
        self.held = self._unfinished = 0
        """Bytes that lie here: of calls, and of what has not come whole."""
        self._silent = self._stalled = self._seen = 0
        self._greeted = self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is somebody."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._service.has_room():
            self._transport.abort()
            return
        shown = verified_chain(transport.get_extra_info("ssl_object"))
        self._peer = Peer(address_of(transport.get_extra_info("peername")), shown)
        self._transport.set_write_buffer_limits(high=AT_ONCE)
        self._service.joined(self)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """The client says something."""
        self._greeted = True
        fed: dict[Call, None] = {}
        events = self._connection.receive(data)
        self._hold_unfinished()
        for event in events:
            if isinstance(event, Received):
                if (call := self._calls.get(event.stream)) is not None:
                    fed[call] = None
                    self._feed(call, event.data, ended=event.ended)
            elif isinstance(event, Requested):
                self._requested(event)
            elif isinstance(event, Reset):
                self._given_up(event.stream)
            elif isinstance(event, Flushed):
                self._has_room(event.stream)
            elif isinstance(event, Violated):
                self._violated(event.reason)
        self._settle(fed)
        if self._connection.out.size:
            self._flush()

    def _settle(self, fed: Iterable[Call]) -> None:
        """What came together is there: handlers may look at it. They do so once, whatever it is made of."""
        for call in fed:
            call.settle()
        if self.held > self._service.bounds.held:
            self.break_off("too much is left lying")

    def _hold(self, size: int) -> None:
        """So much more, or less, lies here."""
        self.held += size
        self._service.hold(size)

    def _hold_unfinished(self) -> None:
        if (left := self._connection.unfinished) != self._unfinished:
            grown, self._unfinished = left - self._unfinished, left
            self._hold(grown)

    def break_off(self, reason: str) -> None:
        """End the connection for what its client does."""
        self._connection.break_off(Code.ENHANCE_YOUR_CALM, reason)
        self._violated(reason)

    def _violated(self, reason: str) -> None:
        _log.info("connection ended", peer=self._peer.address, reason=reason)
        self.close()
        self._drop_calls()
        self._hold_unfinished()

    def connection_lost(self, _: Exception | None) -> None:
        """What its calls were doing is given up."""
        self._transport = None
        self._service.left(self)
        self._drop_calls()
        self._hold(-self._unfinished)

    def _drop_calls(self) -> None:
        for stream in tuple(self._calls):
            self._given_up(stream)

    def pause_writing(self) -> None:
        """The client reads slowly: what is for it waits where it costs least."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client has read: on it goes."""
        self._paused = False
        self._stalled = 0
        self._flush()
        if self._transport is not None and self._connection.backlog <= MOST_BACKLOG:
            self._transport.resume_reading()

    def _flush(self) -> None:
        """Write what there is, as long as the transport takes it."""
        out, transport = self._connection.out, self._transport
        while out.size and transport is not None:
            if self._paused:
                if out.size > MOST_BACKLOG:
                    # It asks, and does not take the answers.
                    transport.pause_reading()
                return
            output = out.take()
            if len(output) == 1:
                transport.write(output[0])
            else:
                transport.writelines(output)
            if out.waits:
                for event in self._connection.go_on():
                    self._has_room(event.stream)
            transport = self._transport

    def _requested(self, event: Requested) -> None:
        if self._transport is None or self._transport.is_closing():
            return
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
        call = Call(self, self._peer, head, handler, event.stream, self._service.bounds.message)
        if head.timeout is not None:
            call.deadline = asyncio.get_running_loop().time() + head.timeout
        self._calls[event.stream] = call
        self._service.began(call, self)
        self._hold(call.held)
        if isinstance(handler, Streaming):
            self._start(call)
        if event.ended:
            self._feed(call, b"", ended=True)

    def _feed(self, call: Call, data: bytes, *, ended: bool) -> None:
        try:
            call.feed(data, ended=ended)
            if ended and isinstance(call.handler, Unary) and call.task is None:
                if call.unread != 1:
                    raise MeshError(ErrorCode.INTERNAL, "the call has one message")
                self._start(call)
        except MeshError as error:
            self._end(call, error.code, error.detail)

    def _start(self, call: Call) -> None:
        self._service.said(call)
        if self._ready is None:
            self._ready = deque()
        self._ready.append(call)
        self._service.turns.wants(self)

    def take_turn(self) -> bool:
        """Start one call; whether there are more."""
        while self._ready:
            call = self._ready.popleft()
            if call.stream in self._calls:
                call.task = tasks.create_task(self._run(call), name="grpc call")
                break
        if self._ready:
            return True
        self._ready = None
        return False

    async def _run(self, call: Call) -> None:
        handler = call.handler
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
            request = handler.parse(call.take() or b"")
        except Exception:  # noqa: BLE001 - protobuf's own error, whichever of its implementations is there
            raise MeshError(ErrorCode.INTERNAL, "the message is not readable") from None
        answer = (await handler.serve(request, call)).SerializeToString()
        if call.stream in self._calls:
            self._answer(call, answer)

    def _answer(self, call: Call, message: bytes) -> bool:
        """Part of an answer, its first with the headers before it."""
        if not call.answered:
            call.answered = True
            self._connection.headers(call.stream, heads.ANSWER)
        return self._connection.content(call.stream, prefix(message), message)

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
            self._service.ended(call)
            self.held -= call.held
            self._has_room(stream)
        return call

    def _given_up(self, stream: int) -> None:
        call = self._forget(stream)
        if call is not None and call.task is not None:
            call.task.cancel()

    def send(self, call: Call, message: bytes) -> bool:
        """Send a message; False when some of it waits."""
        if call.stream not in self._calls:
            return True
        went = self._answer(call, message)
        self._flush()
        return went or not self._connection.has_waiting(call.stream)

    async def room(self, call: Call) -> None:
        """Until everything of the call is on its way, or it is over."""
        if call.stream not in self._calls or not self._connection.has_waiting(call.stream):
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._roomless is None:
            self._roomless = {}
        self._roomless[call.stream] = waiting
        try:
            await waiting
        finally:
            self._roomless.pop(call.stream, None)

    def _has_room(self, stream: int) -> None:
        waiting = None if self._roomless is None else self._roomless.get(stream)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def consumed(self, call: Call, size: int, *, held: int) -> None:
        """Content was taken: the client may send as much again. Nothing for a call that is over."""
        if call.stream not in self._calls:
            return
        if held:
            self._hold(held)
        if size and self._connection.consumed(call.stream, size):
            self._flush()

    def second_passed(self, now: float) -> None:
        """End what takes too long, and who is not there any more."""
        connection, bounds = self._connection, self._service.bounds
        connection.second_passed()
        for call in [one for one in self._calls.values() if one.deadline is not None and one.deadline <= now]:
            self._end(call, ErrorCode.DEADLINE_EXCEEDED, "the call took too long")
        self._silent = 0 if connection.alive else self._silent + 1
        connection.alive = False
        lies = self._paused or connection.waits
        if not lies or connection.sent - self._seen >= GOOD_PART:
            self._stalled, self._seen = 0, connection.sent
        else:
            self._stalled += 1
        if self._silent == bounds.ping_after:
            connection.ping()
            self._flush()
        gone = self._silent >= (bounds.gone_after if self._greeted else bounds.greeting)
        if gone or self._stalled >= bounds.stalled_after:
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

    def close(self) -> None:
        """End the connection in good order."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """End the connection without waiting for the client's farewell."""
        if self._transport is not None:
            self._transport.abort()


def address_of(remote: Any) -> str:
    """`host:port` of a socket's other end, an address of IPv6 in brackets."""
    if not isinstance(remote, tuple):
        return "unknown"
    return f"[{remote[0]}]:{remote[1]}" if ":" in remote[0] else f"{remote[0]}:{remote[1]}"
