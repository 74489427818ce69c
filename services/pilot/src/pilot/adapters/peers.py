"""Questions across Pilot instances, over NATS: scatter, gather with a deadline, and say who did not answer."""

import asyncio
import contextlib
import time
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from meshcore.bus.connection import BUS_ERRORS, Bus
from meshcore.errors import MeshError
from meshcore.runtime import tasks
from nats.aio.msg import Msg

from pilot.adapters.answers import Gathered, Source
from pilot.adapters.endpoints_bucket import EndpointsBucket, until_connected

SUBJECT = "pilot.query.ask"
_log = structlog.get_logger("peers")


class _Question(msgspec.Struct):
    asker: str
    what: str
    parameters: dict[str, Any]
    seconds: float


class _Answer(msgspec.Struct):
    instance: str
    answers: dict[str, Any]
    missing: list[str]
    failed: str = ""


class Peers:
    """Every instance, this one included. Instances are known by the heartbeats in the bucket.

    `local` answers for this instance; None in a worker, which asks its own parent like any other instance. `asker` is
    unique among all processes.
    """

    def __init__(
        self,
        bus: Bus,
        bucket: EndpointsBucket,
        instance: str,
        local: Source | None,
        *,
        asker: str,
        deadline: float,
        heartbeat: float,
    ) -> None:
        self._bus = bus
        self._bucket = bucket
        self._instance = instance
        self._local = local
        self._asker = asker
        self._deadline = deadline
        self._within = 3 * heartbeat + 0.5
        self._members: frozenset[str] = frozenset()
        self._answering: set[asyncio.Task[None]] = set()

    def members(self) -> frozenset[str]:
        """The other instances. While NATS is away or just back, those that were known before."""
        since = self._bucket.in_sync_since
        settled = self._bus.is_connected and since is not None and time.monotonic() - since > self._within
        seen = frozenset(self._bucket.instances(self._within))
        self._members = seen if settled else self._members | seen
        return self._members - ({self._instance} if self._local is not None else set())

    async def ask(self, what: str, parameters: Mapping[str, Any], seconds: float) -> Gathered:
        """Every instance's answers."""
        parts = await asyncio.gather(self._ask_local(what, parameters, seconds), self._ask(what, parameters, seconds))
        answers = {name: answer for part in parts for name, answer in part.answers.items()}
        return Gathered(answers, tuple(sorted(name for part in parts for name in part.missing)))

    async def serve(self) -> None:
        """Answer the questions of other instances, for ever."""
        if self._local is None:
            raise RuntimeError("a worker answers its parent, not the other instances")
        while True:
            await until_connected(self._bus)
            client = self._bus.client
            try:
                subscription = await client.subscribe(SUBJECT, cb=self._asked)
            except BUS_ERRORS as error:
                _log.warning("questions of peers not heard yet", error=type(error).__name__)
                await asyncio.sleep(0.3)
                continue
            _log.debug("questions of peers are answered", generation=self._bus.generation)
            try:
                # The client subscribes again by itself when the connection comes back.
                await self._bus.replaced(client)
            finally:
                with contextlib.suppress(*BUS_ERRORS):
                    await subscription.unsubscribe()

    async def _ask_local(self, what: str, parameters: Mapping[str, Any], seconds: float) -> Gathered:
        if self._local is None:
            return Gathered({})
        return await self._local.ask(what, parameters, seconds)

    async def _ask(self, what: str, parameters: Mapping[str, Any], seconds: float) -> Gathered:
        waiting = set(self.members())
        if not waiting:
            return Gathered({})
        answers: dict[str, Any] = {}
        missing: list[str] = []
        question = _Question(self._asker, what, dict(parameters), seconds)
        try:
            async with asyncio.timeout(seconds + self._deadline):
                await self._collect(question, waiting, answers, missing)
        except (TimeoutError, *BUS_ERRORS) as error:
            _log.warning("instances did not answer", question=what, missing=sorted(waiting), error=type(error).__name__)
        return Gathered(answers, (*missing, *sorted(waiting)))

    async def _collect(
        self, question: _Question, waiting: set[str], answers: dict[str, Any], missing: list[str]
    ) -> None:
        """Fill `answers` and `missing` and empty `waiting` while the answers come in."""
        if not self._bus.is_connected:
            return
        inbox = self._bus.client.new_inbox()
        subscription = await self._bus.client.subscribe(inbox)
        try:
            await self._bus.client.publish(SUBJECT, msgspec.json.encode(question), reply=inbox)
            while waiting:
                message = await subscription.next_msg(None)
                if not message.data:
                    continue
                answer = msgspec.json.decode(zlib.decompress(message.data), type=_Answer)
                if answer.instance in waiting:
                    waiting.discard(answer.instance)
                    answers.update(answer.answers)
                    missing += [*answer.missing, *([answer.instance] if answer.failed else [])]
        finally:
            with contextlib.suppress(*BUS_ERRORS):
                await subscription.unsubscribe()

    async def _asked(self, message: Msg) -> None:
        question = msgspec.json.decode(message.data, type=_Question)
        if question.asker == self._asker:
            return
        task = tasks.create_task(self._reply(message.reply, question), name="peer question")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _reply(self, subject: str, question: _Question) -> None:
        if self._local is None:
            return
        try:
            found = await self._local.ask(question.what, question.parameters, question.seconds)
            answer = _Answer(self._instance, dict(found.answers), list(found.missing))
        except MeshError as error:
            answer = _Answer(self._instance, {}, [], failed=error.detail)
        body = zlib.compress(msgspec.json.encode(answer), 1)
        if len(body) > self._bus.client.max_payload:
            body = zlib.compress(msgspec.json.encode(_Answer(self._instance, {}, [], failed="answer too large")))
        with contextlib.suppress(*BUS_ERRORS):
            await self._bus.client.publish(subject, body)
