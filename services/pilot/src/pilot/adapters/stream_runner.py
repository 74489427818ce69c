"""Carries one stream: requests into its session, effects out of it, in one task that never waits for another stream."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol

import structlog
from meshcore.errors import ErrorCode, MeshError
from meshcore.xds import wire
from meshcore.xds.effects import Acked, Close, Effect, Expired, Nacked, Send
from meshcore.xds.openings import Reader
from meshcore.xds.request import Request
from meshcore.xds.types import EXTENSION_CONFIG_TYPE, HEALTH_TYPE, SECRET_TYPE, SHORT_NAMES

from pilot.adapters import telemetry
from pilot.adapters.hub import Hub
from pilot.adapters.ticket import Ticket
from pilot.adapters.wake import Wake
from pilot.core.debug_question import DEBUG_TYPE
from pilot.core.pace import Stage
from pilot.core.push_queue import Push
from pilot.core.refusals import blame_of, shortened
from pilot.core.stream import Stream

_log = structlog.get_logger("ads")
_level = logging.getLogger("ads")


class Talk(Protocol):
    """What a stream needs of its call (`meshcore.grpc_server.Call`)."""

    ended: bool
    """Whether the client has said all."""
    on_news: Callable[[], None] | None

    @property
    def unread(self) -> int:
        """Messages to take."""

    def take(self) -> bytes | None:
        """The next message, if there is one."""

    def send(self, message: bytes) -> bool:
        """Send a message; False when some of it waits for the client."""

    async def room(self) -> None:
        """Return when nothing waits any more."""


class StreamRunner:
    """One stream from its first request to its end."""

    def __init__(
        self,
        hub: Hub,
        stream: Stream,
        wake: Wake,
        call: Talk,
        reader: Reader,
        ticket: Ticket,
        first_config_timeout: timedelta,
    ) -> None:
        self._hub = hub
        self._stream = stream
        self._wake = wake
        self._call = call
        self._reader = reader
        self._openings = hub.engine.frames.openings
        self._ticket = ticket
        self._first_by = time.monotonic() + first_config_timeout.total_seconds()
        self._expires = self._first_by
        self._told = 0
        self.on_health: Callable[[bool], None] = lambda healthy: None
        self.on_debug: Callable[[Request], Awaitable[bytes]] | None = None
        """Answers what is asked over debug types, if anybody does."""

    async def run(self, opening: list[Request], expires: float) -> str:
        """Serve until the stream ends; why it did. The first request is taken out of `opening`, so that nobody keeps
        it."""
        session = self._stream.session
        self._expires = expires
        resources = self._hub.target(self._stream)
        await self._execute(session.resources_changed(resources, self._hub.engine.snapshot.revision, time.monotonic()))
        await self._receive(opening.pop())
        self._call.on_news = self._wake.set
        while True:
            await self._wait(expires)
            now = time.monotonic()
            # Before all else: a client that never stops talking must not outlive its certificate by that.
            if now >= expires:
                return "age"
            if not self._stream.complete and now >= self._first_by:
                telemetry.SLOW_STARTS.inc()
                raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "the first config was not acknowledged in time")
            if (data := self._call.take()) is not None:
                await self._receive(self._openings.read(self._reader, data)[0])
                if self._call.unread:
                    # A client that says much at once takes turns with all that there is besides it.
                    await asyncio.sleep(0)
            elif self._stream.health_known:
                await self._tell_health_known()
            elif (push := self._hub.take_push(self._stream)) is not None:
                revision, resources = push
                await self._execute(session.resources_changed(resources, revision, now))
            elif session.deadline is not None and session.deadline <= now:
                await self._execute(session.elapsed(now))
            elif self._call.ended:
                return "client ended"

    async def _wait(self, expires: float) -> None:
        """Until there is something to do."""
        if self._call.unread or self._call.ended or self._pending():
            return
        until, deadline = expires, self._stream.session.deadline
        if deadline is not None:
            until = min(until, deadline)
        if not self._stream.complete:
            until = min(until, self._first_by)
        await self._wake.wait(until)

    def _pending(self) -> bool:
        return self._stream.health_known or self._hub.may_push(self._stream)

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
        if self._stream.pace.stage is Stage.SEND:
            self._stream.pace.enters(Stage.ACK, time.monotonic())
        self._account()

    async def _send(self, effect: Send) -> None:
        began = time.monotonic()
        await self._write(effect.frame)
        pushes, sizes = telemetry.sending(telemetry.type_label(effect.type_url))
        telemetry.SEND_TIME.observe(time.monotonic() - began)
        pushes.inc()
        if self._stream.taken is not None:
            self._count(self._stream.taken)
        sizes.observe(len(effect.frame))
        if _level.isEnabledFor(logging.DEBUG):
            _log.debug(
                "push sent",
                proxy=self._stream.proxy.id,
                type=telemetry.type_label(effect.type_url),
                nonce=effect.nonce,
                revision=effect.revision,
                resources=len(effect.names),
                removed=len(effect.removed),
            )

    def _count(self, push: Push) -> None:
        """The push that was taken brings something: from here on it is one."""
        stream = self._stream
        stream.taken = None
        stream.pushed_at = push.queued_at if stream.pushed_at is None else stream.pushed_at
        telemetry.QUEUE_TIME.observe(stream.waited)
        for reason in push.reasons:
            telemetry.trigger(reason).inc()

    async def _write(self, frame: bytes) -> None:
        """Send one message; a client that takes nothing cannot make a stream outlive its time by that."""
        if self._call.send(frame):
            return
        until = self._expires if self._stream.complete else min(self._expires, self._first_by)
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._call.room()
        except TimeoutError:
            if not self._stream.complete:
                telemetry.SLOW_STARTS.inc()
            raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "the client does not take what it is sent") from None

    def _note(self, effect: Acked | Nacked | Expired | Close) -> None:
        if isinstance(effect, Acked):
            telemetry.ACK_TIME.observe(effect.seconds)
            self._hub.take_acknowledgement(self._stream, effect.type_url)
            return
        if isinstance(effect, Close):
            raise MeshError(effect.code, effect.detail)
        kind = telemetry.type_label(effect.type_url)
        if isinstance(effect, Expired):
            telemetry.EXPIRED_NONCES.labels(kind).inc()
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
                error=shortened(effect.message),
                configs=made_by[:10],
            )
            self._hub.take_refusal(self._stream, effect.type_url, effect.names, effect.message)
            receipts = self._hub.engine.receipts
            number, ahead = self._stream.number, self._stream.target_endpoints
            if receipts.refused(number, effect.revision, effect.type_url, effect.message, made_by, ahead):
                self._hub.progressed()

    def _complete(self) -> None:
        """The client has had what it came for: the next one may have its place."""
        if not self._stream.complete:
            self._stream.complete = True
            self._ticket.done()

    def _account(self) -> None:
        """See how far the session has come, all of its effects being carried out."""
        self._hub.written(self._stream)
        stream, receipts, session = self._stream, self._hub.engine.receipts, self._stream.session
        if session.burden != stream.burden:
            self._hub.tenants.burdened(stream, session.burden)
        spent = stream.pace.spent(time.monotonic())
        moved = receipts.settled(stream.number, session.settled_revision, time.time(), spent)
        if session.settled:
            stream.pace.ends()
            stream.taken = None
            if stream.settled_generation != stream.target_generation:
                stream.settled_generation = stream.target_generation
                receipts.taken(stream.number, stream.settled_generation, time.time())
                moved = True
            if stream.settled_endpoints != stream.target_endpoints:
                stream.settled_endpoints = stream.target_endpoints
                receipts.settled_endpoints(stream.number, stream.settled_endpoints, time.time(), spent)
                moved = True
            self._complete()
            if stream.pushed_at is not None:
                telemetry.CONVERGENCE_TIME.observe(time.monotonic() - stream.pushed_at)
                stream.pushed_at = None
        if moved:
            self._hub.progressed()
