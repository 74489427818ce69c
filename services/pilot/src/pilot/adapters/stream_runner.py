"""Carries one stream: requests into its session, effects out of it. It never waits for another stream.

A stream has one task, which sees to what takes time: a client that does not take what it is sent, timers, the end. What
can be done at once is done while the task rests, by whoever brings it: the connection that has read an ACK, the hub
that has a push (`Wake`).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import timedelta
from itertools import chain
from typing import Protocol

import structlog
from meshcore.errors import ErrorCode, MeshError
from meshcore.xds import wire
from meshcore.xds.effects import Acked, Close, Effect, Expired, Nacked, Send
from meshcore.xds.openings import Reader
from meshcore.xds.request import Request
from meshcore.xds.resource import ResourceSet
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
from pilot.core.tenants import node_burden

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
        self._node_burden = node_burden(stream)
        self._first_revision = 0
        """What its first config goes up to; 0 is nothing."""
        self._told = 0
        self._left: Iterator[Effect] | None = None
        """What is to be done once the client has taken what was sent; None when it takes everything."""
        self._sending_since: float | None = None
        self._asked: Request | None = None
        """A question over a debug type that is to be answered before anything else is done."""
        self._crowding = False
        """Whether the client says much at once: it takes turns with all that there is besides it."""
        self._failure: Exception | None = None
        """What went wrong while the task rested."""
        self.on_health: Callable[[bool], None] = lambda healthy: None
        self.on_debug: Callable[[Request], Awaitable[bytes]] | None = None
        """Answers what is asked over debug types, if anybody does."""

    async def run(self, opening: list[Request], expires: float) -> str:
        """Serve until the stream ends; why it did. The first request is taken out of `opening`, so that nobody keeps
        it."""
        self._expires = expires
        resources = self._hub.target(self._stream)
        self._first_revision = self._hub.engine.snapshot.revision
        self._aim(self._first_revision, resources)
        del resources  # the stream outlives it
        self._receive(opening.pop(), time.monotonic())
        self._call.on_news = self._wake.set
        while (reason := self._proceed()) is None:
            if self._left is not None:
                await self._make_room()
            elif self._asked is not None:
                await self._answer(self._asked)
            elif self._crowding:
                self._crowding = False
                await asyncio.sleep(0)
            else:
                await self._wake.rest(self._until(), self._proceeds)
                if self._failure is not None:
                    raise self._failure
        return reason

    def _proceeds(self, until: float) -> bool:
        """Do what there is to do while the task rests until then; False when it has to see to something."""
        try:
            reason = self._proceed()
        except Exception as error:  # noqa: BLE001 - the task raises it
            self._failure = error
            return False
        waits = self._left is not None or self._asked is not None or self._crowding
        return reason is None and not waits and self._until() >= until

    def _proceed(self) -> str | None:
        """Do all that can be done without waiting; why the stream ends, if it does."""
        stream, call = self._stream, self._call
        while self._left is None and self._asked is None:
            now = time.monotonic()
            # Before all else: a client that never stops talking must not outlive its certificate by that.
            if now >= self._expires:
                return "age"
            if not stream.complete and now >= self._first_by:
                telemetry.SLOW_STARTS.inc()
                raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "the first config was not acknowledged in time")
            if (data := call.take()) is not None:
                self._receive(self._openings.read(self._reader, data)[0], now)
                if call.unread:
                    self._crowding = True
                    break
            elif stream.health_known:
                self._tell_health_known()
            elif (push := self._hub.take_push(stream)) is not None:
                self._aim(*push)
            elif (deadline := stream.session.deadline) is not None and deadline <= now:
                self._carry_out(stream.session.elapsed(now))
            else:
                return "client ended" if call.ended else None
        return None

    def _until(self) -> float:
        """When something is to be done without anybody's saying so."""
        until, deadline = self._expires, self._stream.session.deadline
        if deadline is not None:
            until = min(until, deadline)
        return until if self._stream.complete else min(until, self._first_by)

    def _aim(self, revision: int, resources: ResourceSet) -> None:
        """The client is to have this, which goes up to that revision."""
        self._carry_out(self._stream.session.resources_changed(resources, revision, time.monotonic()))

    def _tell_health_known(self) -> None:
        """An empty message of the health type; type and nonce have the same field numbers in both variants."""
        self._stream.health_known = False
        self._told += 1
        self._write(wire.text(4, HEALTH_TYPE) + wire.text(5, f"health-{self._told}"))

    async def _answer(self, asked: Request) -> None:
        if self.on_debug is not None:
            self._write(await self.on_debug(asked))
        self._asked = None
        if self._left is not None:
            await self._make_room()
        self._complete()

    def _receive(self, request: Request, now: float) -> None:
        self._ticket.heard()
        if request.type_url == HEALTH_TYPE:
            if not request.nonce:
                self.on_health(request.rejection is None)
            return
        if self.on_debug is not None and request.type_url.startswith(DEBUG_TYPE):
            if not request.nonce:
                self._asked = request
            return
        if request.type_url in (SECRET_TYPE, EXTENSION_CONFIG_TYPE) and self._may_keep_secrets():
            resources = self._hub.keep_secrets(self._stream)
            self._aim(self._hub.engine.snapshot.revision, resources)
        self._carry_out(self._stream.session.request_received(request, now))

    def _may_keep_secrets(self) -> bool:
        """Whether an agent asks for its proxy's Secrets or extensions for the first time."""
        stream = self._stream
        return stream.proxy.is_agent and stream.secret_class is None and bool(stream.proxy.identity)

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        """Up to a message that the client does not take at once; the rest is done when it has."""
        if self._left is not None:
            self._left = chain(self._left, effects)
            return
        left = iter(effects)
        for effect in left:
            if isinstance(effect, Send):
                if not self._send(effect):
                    self._left = left
                    return
            else:
                self._note(effect)
        self._account()

    def _send(self, effect: Send) -> bool:
        """Whether the client takes it at once."""
        began = time.monotonic()
        went = self._call.send(effect.frame)
        pushes, sizes = telemetry.sending(telemetry.type_label(effect.type_url))
        pushes.inc()
        if self._stream.taken is not None:
            self._count(self._stream.taken)
        sizes.observe(len(effect.frame))
        if went:
            telemetry.SEND_TIME.observe(time.monotonic() - began)
        else:
            self._sending_since = began
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
        return went

    def _count(self, push: Push) -> None:
        """The push that was taken brings something: from here on it is one."""
        stream = self._stream
        stream.taken = None
        stream.pushed_at = push.queued_at if stream.pushed_at is None else stream.pushed_at
        telemetry.QUEUE_TIME.observe(stream.waited)
        for reason in push.reasons:
            telemetry.trigger(reason).inc()

    def _write(self, frame: bytes) -> None:
        """Send what no session keeps account of."""
        if not self._call.send(frame):
            self._left = iter(())

    async def _make_room(self) -> None:
        """Until the client has taken what it was sent, and go on; one that takes nothing cannot make a stream outlive
        its time by that."""
        until = self._expires if self._stream.complete else min(self._expires, self._first_by)
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._call.room()
        except TimeoutError:
            if not self._stream.complete:
                telemetry.SLOW_STARTS.inc()
            raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "the client does not take what it is sent") from None
        if self._sending_since is not None:
            telemetry.SEND_TIME.observe(time.monotonic() - self._sending_since)
            self._sending_since = None
        left, self._left = self._left or iter(()), None
        self._carry_out(left)

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
        if (burden := session.burden + self._node_burden) != stream.burden:
            self._hub.tenants.burdened(stream, burden)
        now, revision, moved = time.monotonic(), session.settled_revision, False
        if stream.pace.stage is Stage.SEND:
            stream.pace.enters(Stage.ACK, now)
        spent = stream.pace.spent(now)
        if 0 < self._first_revision <= revision:
            # Where endpoints change faster than it answers there is always something more on its way.
            self._complete()
        if receipts.owes(stream.number, revision):
            receipts.settled(stream.number, revision, time.time(), spent)
            moved = True
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
                telemetry.CONVERGENCE_TIME.observe(now - stream.pushed_at)
                stream.pushed_at = None
        if moved:
            self._hub.progressed()
