"""Publishes the outbox to the bucket `mesh-config`: by lease, in order, the keys of what waits before its head.

NATS is not trusted to keep anything: after each (re)connection the head in the bucket says where to go on, and the
whole bucket is compared with the store. What was written before a crash is written again; records are the same at
each attempt.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from meshcore.bus.connection import BUS_ERRORS, Bus, Cancellation
from meshcore.distribution.records import Head, RecordError, encode_record
from meshcore.errors import MeshError
from nats.js.errors import KeyWrongLastSequenceError

from galley.adapters.bucket import ConfigBucket
from galley.adapters.store import Store
from galley.adapters.store.outbox import PUBLISHER_LEASE
from galley.core.publishing import Unpublished, pile
from galley.core.reconciliation import reconcile

LEASE_LENGTH = timedelta(seconds=15)
RENEW_EVERY = 4.0
HEAD_EVERY = 2.0
FORGET_EVERY = 100
PURGE_AFTER = 60.0
COMPARE_EVERY = 300.0
RETRY = 0.2
PUTS_IN_FLIGHT = 128

_log = structlog.get_logger("publisher")


class LeaseLost(Exception):
    """Somebody else publishes now."""


@dataclass(frozen=True, slots=True)
class PublisherStatus:
    """How far publishing has come."""

    leading: bool
    connected: bool
    published: int
    """The newest revision whose head is in the bucket."""


class Publisher:
    """`run()` publishes until cancelled; `repair()` asks it to compare the whole bucket with the store."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        holder: str,
        *,
        open_bucket: Callable[[Bus], Awaitable[ConfigBucket]] = ConfigBucket.open,
    ) -> None:
        self._store = store
        self._bus = bus
        self._holder = holder
        self._open_bucket = open_bucket
        self._fencing = 0
        self._leading = False
        self._renewed_at = 0.0
        self._published = 0
        self._head: Head | None = None
        self._sequence = 0
        self._forgotten = 0
        self._tombstones: deque[tuple[float, str, int]] = deque()
        self._last_writer: dict[str, int] = {}
        self._compare = asyncio.Event()
        self._cancellation = Cancellation()

    def status(self) -> PublisherStatus:
        """How far publishing has come."""
        return PublisherStatus(self._leading, self._bus.is_connected, self._published)

    def repair(self) -> None:
        """A consumer found the bucket wrong: compare it with the store as soon as possible."""
        self._compare.set()

    async def run(self) -> None:
        """Publish for ever; nothing that NATS or another replica does ends this."""
        self._cancellation = Cancellation()
        try:
            while True:
                try:
                    await self._lead()
                except LeaseLost:
                    _log.warning("publisher lease lost", fencing=self._fencing)
                except MeshError as error:
                    _log.error("publisher waits for the store", error=error.detail)
                self._leading = False
                await asyncio.sleep(RETRY)
        finally:
            if self._leading:
                await self._store.release_lease(PUBLISHER_LEASE, self._fencing)

    async def _lead(self) -> None:
        fencing = await self._store.acquire_lease(PUBLISHER_LEASE, self._holder, LEASE_LENGTH)
        if fencing is None:
            await asyncio.sleep(1.0)
            return
        self._fencing, self._leading, self._renewed_at = fencing, True, _now()
        _log.info("publisher leads", fencing=fencing, holder=self._holder)
        while True:
            self._cancellation.check()
            try:
                await self._bus.connected()
                await self._renew(at_once=True)
                await self._publish_from(await self._open_bucket(self._bus))
            except (*BUS_ERRORS, RecordError) as error:
                _log.warning("publishing interrupted", error=type(error).__name__, detail=str(error))
            await self._renew()
            await asyncio.sleep(RETRY)

    async def _publish_from(self, bucket: ConfigBucket) -> None:
        """Publish over one connection, until it is lost."""
        generation = self._bus.generation
        in_order = await self._resume(bucket)
        self._compare.set()
        compared_at = _now()
        while self._bus.generation == generation:
            self._cancellation.check()
            await self._renew()
            seen = self._store.known
            waiting = await self._store.unpublished(self._published) if in_order else ()
            if waiting:
                step = pile(waiting, self._published)
                in_order = step is not None
                if step is not None:
                    await self._publish(bucket, step)
                    continue
            if not in_order or self._compare.is_set() or _now() - compared_at > COMPARE_EVERY:
                await self._compare_all(bucket)
                in_order, compared_at = True, _now()
                continue
            await self._forget()
            if not await self._news(seen):
                await self._purge_old(bucket)
                await self._write_head(bucket)

    async def _resume(self, bucket: ConfigBucket) -> bool:
        """Where the bucket stands; whether the outbox can simply go on from there."""
        entry = await bucket.head()
        self._sequence, head = entry.sequence, entry.head
        state = await self._store.published_state()
        if head is None or head.store != state.store_id:
            return False
        if head.fencing > self._fencing:
            raise LeaseLost
        if head.revision > state.head.revision:
            _log.error("the store is older than what was published", published=head.revision, store=state.head.revision)
            await self._store.change_store_id()
            return False
        self._head, self._published = replace(head, fencing=self._fencing), head.revision
        await self._write_head(bucket)
        return True

    async def _publish(self, bucket: ConfigBucket, waiting: Unpublished) -> None:
        """At once if it is little; if it is much, or something came between, each record until it is acknowledged."""
        head = replace(waiting.head, fencing=self._fencing)
        if len(waiting.messages) > PUTS_IN_FLIGHT or not await self._send(bucket, waiting.messages, head):
            await self._put_all(bucket, waiting.messages)
            self._head = head
            await self._write_head(bucket)
        self._published = waiting.head.revision
        for key in waiting.head.keys:
            self._last_writer[key] = waiting.head.revision
        self._tombstones.extend((_now(), key, waiting.head.revision) for key in waiting.deleted)
        if self._published - self._forgotten >= FORGET_EVERY:
            await self._forget()

    async def _send(self, bucket: ConfigBucket, messages: tuple[tuple[str, bytes], ...], head: Head) -> bool:
        """Send the records and the head behind them, which is taken only if nothing but they came since the last one:
        one answer for all. False when it was not taken."""
        for message in messages:
            await bucket.send(*message)
        try:
            self._sequence = await bucket.put_head(head, self._sequence, self._sequence + len(messages))
        except KeyWrongLastSequenceError:
            return False
        self._head = head
        return True

    async def _compare_all(self, bucket: ConfigBucket) -> None:
        """Make the whole bucket say what the store says, in one step for the consumers."""
        self._compare.clear()
        state = await self._store.published_state()
        repair = reconcile(state.store_id, state.records, await bucket.list())
        if repair.puts or repair.purges:
            _log.info("repairing the bucket", puts=len(repair.puts), purges=len(repair.purges))
        for start in range(0, len(repair.puts), PUTS_IN_FLIGHT):
            chunk = repair.puts[start : start + PUTS_IN_FLIGHT]
            await self._put_all(bucket, tuple((key, encode_record(record)) for key, record in chunk))
        for key in repair.purges:
            await bucket.purge(key)
        self._tombstones = deque((_now(), *tombstone) for tombstone in repair.tombstones)
        self._last_writer = dict(repair.tombstones)
        self._head = replace(state.head, fencing=self._fencing)
        await self._write_head(bucket)
        self._published = state.head.revision

    async def _put_all(self, bucket: ConfigBucket, messages: tuple[tuple[str, bytes], ...]) -> None:
        for start in range(0, len(messages), PUTS_IN_FLIGHT):
            await self._renew()
            await asyncio.gather(*(bucket.put(*message) for message in messages[start : start + PUTS_IN_FLIGHT]))

    async def _write_head(self, bucket: ConfigBucket) -> None:
        """Write the head over the one we know; another one there means another publisher, or an answer that was
        lost."""
        if self._head is None:
            return
        try:
            self._sequence = await bucket.put_head(self._head, self._sequence)
        except KeyWrongLastSequenceError:
            entry = await bucket.head()
            there = entry.head
            if there is not None and there.store == self._head.store and there.fencing > self._fencing:
                raise LeaseLost from None
            self._sequence = await bucket.put_head(self._head, entry.sequence)
            if there is None or (there.store, there.revision) != (self._head.store, self._head.revision):
                self._compare.set()

    async def _renew(self, *, at_once: bool = False) -> None:
        """Keep the lease; LeaseLost when it is somebody else's."""
        if at_once or _now() - self._renewed_at > RENEW_EVERY:
            if not await self._store.renew_lease(PUBLISHER_LEASE, self._fencing, LEASE_LENGTH):
                raise LeaseLost
            self._renewed_at = _now()

    async def _forget(self) -> None:
        if self._published > self._forgotten:
            await self._store.forget_published(self._published)
            self._forgotten = self._published

    async def _news(self, seen: int) -> bool:
        """Wait for a commit after `seen`; False when it is time to repeat the head."""
        try:
            async with asyncio.timeout(HEAD_EVERY):
                return await self._store.wait_beyond(seen)
        except TimeoutError:
            return False

    async def _purge_old(self, bucket: ConfigBucket) -> None:
        """Drop tombstones that every consumer has seen, unless the key was written again."""
        while self._tombstones and _now() - self._tombstones[0][0] > PURGE_AFTER:
            _, key, revision = self._tombstones.popleft()
            if self._last_writer.get(key) == revision:
                del self._last_writer[key]
                await bucket.purge(key)


def _now() -> float:
    return asyncio.get_running_loop().time()
