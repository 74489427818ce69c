"""Carries one stream: requests into its session, effects out of it, in one task that never waits for another stream."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc.aio
import structlog
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import tasks
from meshcore.xds import wire
from meshcore.xds.effects import Acked, Close, Effect, Expired, Nacked, Send
from meshcore.xds.request import Request
from meshcore.xds.types import EXTENSION_CONFIG_TYPE, HEALTH_TYPE, SECRET_TYPE, SHORT_NAMES

from pilot.adapters import telemetry
from pilot.adapters.hub import Hub, Ticket
from pilot.core.debug_question import DEBUG_TYPE
from pilot.core.refusals import blame_of
from pilot.core.stream import Stream

_log = structlog.get_logger("ads")
_INBOX = 64
"""Requests read ahead of the session; beyond it the client is held by flow control."""
_CANCELLED_WITHIN = 0.1


class Channel:
    """The seam to the transport: `write(frame)`, and requests as they come. A cheaper transport can take its place."""

    def __init__(self, context: Any, parse: Callable[[bytes], tuple[Request, Any]]) -> None:
        self._context = context
        self._parse = parse
        self.inbox: deque[Request] = deque()
        self.ended = False
        self._room = asyncio.Event()

    async def write(self, frame: bytes) -> None:
        """Send one message; waits while the client does not take what was sent before."""
        await self._context.write(frame)

    async def read_into(self, wake: asyncio.Event) -> None:
        """Fill the inbox until the client ends the stream."""
        while (data := await self._context.read()) is not grpc.aio.EOF:
            request, _ = self._parse(data)
            self.inbox.append(request)
            wake.set()
            while len(self.inbox) >= _INBOX:
                self._room.clear()
                await self._room.wait()
        # A broken or cancelled stream reads as ended first; gRPC cancels its handler right behind that.
        late = True
        while late:
            # An event loop that was held up may run this before the cancellation that lies there already: look again.
            looked = time.monotonic()
            await asyncio.sleep(_CANCELLED_WITHIN)
            late = time.monotonic() - looked > 2 * _CANCELLED_WITHIN
        self.ended = True
        wake.set()

    def take(self) -> Request | None:
        """The next request, if there is one."""
        if not self.inbox:
            return None
        self._room.set()
        return self.inbox.popleft()


class StreamRunner:
    """One stream from its first request to its end."""

    def __init__(
        self,
        hub: Hub,
        stream: Stream,
        wake: asyncio.Event,
        channel: Channel,
        ticket: Ticket,
        first_config_timeout: timedelta,
    ) -> None:
        self._hub = hub
        self._stream = stream
        self._wake = wake
        self._channel = channel
        self._ticket = ticket
        self._first_by = time.monotonic() + first_config_timeout.total_seconds()
        self._expires = self._first_by
        self._told = 0
        self.on_health: Callable[[bool], None] = lambda healthy: None
        self.on_debug: Callable[[Request], Awaitable[bytes]] | None = None
        """Answers what is asked over debug types, if anybody does."""

    async def run(self, first: Request, expires: float) -> str:
        """Serve until the stream ends; why it did."""
        session = self._stream.session
        self._expires = expires
        resources = self._hub.target(self._stream)
        await self._execute(session.resources_changed(resources, self._hub.engine.snapshot.revision, time.monotonic()))
        await self._receive(first)
        async with tasks.background(self._channel.read_into(self._wake), name="ads reader") as reader:
            while True:
                await self._wait(expires, reader)
                now = time.monotonic()
                # Before all else: a client that never stops talking must not outlive its certificate by that.
                if now >= expires:
                    return "age"
                if not self._stream.complete and now >= self._first_by:
                    telemetry.SLOW_STARTS.inc()
                    raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "the first config was not acknowledged in time")
                if (request := self._channel.take()) is not None:
                    await self._receive(request)
                elif self._stream.health_known:
                    await self._tell_health_known()
                elif (push := self._hub.take_push(self._stream)) is not None:
                    revision, resources = push
                    await self._execute(session.resources_changed(resources, revision, now))
                elif session.deadline is not None and session.deadline <= now:
                    await self._execute(session.elapsed(now))
                elif self._channel.ended:
                    return "client ended"
                elif reader.done():
                    reader.result()
                    return "broken"

    async def _wait(self, expires: float, reader: asyncio.Task[Any]) -> None:
        """Until there is something to do."""
        if self._channel.inbox or self._channel.ended or reader.done() or self._pending():
            return
        self._wake.clear()
        times = [expires, self._stream.session.deadline, None if self._stream.complete else self._first_by]
        until = min(when for when in times if when is not None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._wake.wait()

    def _pending(self) -> bool:
        return self._stream.health_known or self._hub.engine.queue.pending(self._stream.number)

    async def _tell_health_known(self) -> None:
        """An empty message of the health type; type and nonce have the same field numbers in both variants."""
        self._stream.health_known = False
        self._told += 1
        await self._write(wire.text(4, HEALTH_TYPE) + wire.text(5, f"health-{self._told}"))

    async def _receive(self, request: Request) -> None:
        self._ticket.heard()
        if request.type_url == HEALTH_TYPE:
            if not request.nonce:
                self.on_health(request.rejection is None)
            return
        if self.on_debug is not None and request.type_url.startswith(DEBUG_TYPE):
            if not request.nonce:
                await self._write(await self.on_debug(request))
                self._complete()
            return
        if request.type_url in (SECRET_TYPE, EXTENSION_CONFIG_TYPE) and self._may_keep_secrets():
            resources = self._hub.keep_secrets(self._stream)
            revision = self._hub.engine.snapshot.revision
            await self._execute(self._stream.session.resources_changed(resources, revision, time.monotonic()))
        await self._execute(self._stream.session.request_received(request, time.monotonic()))

    def _may_keep_secrets(self) -> bool:
        """Whether an agent asks for its proxy's Secrets or extensions for the first time."""
        stream = self._stream
        return stream.proxy.is_agent and stream.secret_class is None and bool(stream.proxy.identity)

    async def _execute(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                await self._send(effect)
            else:
                self._note(effect)
        self._account()

    async def _send(self, effect: Send) -> None:
        began = time.monotonic()
        await self._write(effect.frame)
        kind = telemetry.type_label(effect.type_url)
        telemetry.SEND_TIME.observe(time.monotonic() - began)
        telemetry.PUSHES.labels(kind).inc()
        telemetry.CONFIG_SIZE.labels(kind).observe(len(effect.frame))
        _log.debug(
            "push sent",
            proxy=self._stream.proxy.id,
            type=kind,
            nonce=effect.nonce,
            revision=effect.revision,
            resources=len(effect.names),
            removed=len(effect.removed),
        )

    async def _write(self, frame: bytes) -> None:
        """Send one message; a client that takes nothing cannot make a stream outlive its time by that."""
        until = self._expires if self._stream.complete else min(self._expires, self._first_by)
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._channel.write(frame)
        except TimeoutError:
            if not self._stream.complete:
                telemetry.SLOW_STARTS.inc()
            raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "the client does not take what it is sent") from None

    def _note(self, effect: Acked | Nacked | Expired | Close) -> None:
        if isinstance(effect, Close):
            raise MeshError(effect.code, effect.detail)
        kind = telemetry.type_label(effect.type_url)
        if isinstance(effect, Expired):
            telemetry.EXPIRED_NONCES.labels(kind).inc()
        elif isinstance(effect, Acked):
            self._hub.take_acknowledgement(self._stream, effect.type_url)
        elif isinstance(effect, Nacked):
            telemetry.REJECTS.labels(kind).inc()
            if (counter := telemetry.REJECTED.get(SHORT_NAMES.get(effect.type_url, ""))) is not None:
                counter.labels(str(effect.code)).inc()
            blame = blame_of(self._stream.session.channels[effect.type_url])
            made_by = tuple(str(config) for config in blame.configs) if blame is not None else ()
            _log.warning(
                "config refused by the proxy, which keeps what it had",
                proxy=self._stream.proxy.id,
                type=kind,
                nonce=effect.nonce,
                revision=effect.revision,
                code=effect.code,
                error=effect.message,
                configs=made_by[:10],
            )
            self._hub.take_refusal(self._stream, effect.type_url, effect.names, effect.message)
            receipts = self._hub.engine.receipts
            if receipts.refused(self._stream.number, effect.revision, effect.type_url, effect.message, made_by):
                self._hub.progressed()

    def _complete(self) -> None:
        """The client has had what it came for: the next one may have its place."""
        if not self._stream.complete:
            self._stream.complete = True
            self._ticket.done()

    def _account(self) -> None:
        """See how far the session has come."""
        stream, engine = self._stream, self._hub.engine
        settled = stream.session.settled_revision
        if engine.receipts.settled(stream.number, settled, time.time()):
            self._hub.progressed()
        if stream.session.settled and stream.settled_generation != stream.target_generation:
            stream.settled_generation = stream.target_generation
            engine.receipts.taken(stream.number, stream.settled_generation, time.time())
            self._hub.progressed()
        if stream.session.settled:
            self._complete()
            if stream.pushed_at is not None:
                telemetry.CONVERGENCE_TIME.observe(time.monotonic() - stream.pushed_at)
                stream.pushed_at = None
