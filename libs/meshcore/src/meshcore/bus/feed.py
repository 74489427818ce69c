"""The config feed of every consumer: the whole state first, then change sets, whatever happens to NATS and Galley.

The watch is made anew after each reconnection (a resumed one needs 17 s to notice), when heads stay away, and after
Galley had to be asked. The last copy on disk comes first of all, marked as such; the truth follows as soon as the
bucket is read.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from nats.js.errors import NotFoundError

from meshcore.bus.config_list import request_list
from meshcore.bus.connection import BUS_ERRORS, Bus, Cancellation
from meshcore.bus.last_copy import read_last_copy, write_last_copy
from meshcore.bus.subjects import CONFIG_BUCKET
from meshcore.bus.watch import BucketEntry, BucketWatch, Mark
from meshcore.distribution.assembler import Assembler
from meshcore.distribution.events import ChangeSet, FullState, Output, Refused, Relist
from meshcore.distribution.keys import HEAD_KEY, parse_kv_key
from meshcore.distribution.records import RecordError, decode_head, decode_record
from meshcore.distribution.state_copy import StateCopy

TICK = 1.0
SAVE_EVERY = 2.0
SILENCE = 7.0
LONGEST_SILENCE = 60.0
LONGEST_WAIT = 5.0
RETRY = 0.3
LONGEST_RETRY = 10.0
"""Seconds: how often a quiet feed looks around; between saves; without a repeated head before the watch is made anew,
growing to the longest; behind the newest head without a step before Galley is asked; between attempts that fail,
growing to the longest."""

_log = structlog.get_logger("feed")

ConfigEvent = FullState | ChangeSet


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How true the shown state is."""

    connected: bool
    in_sync: bool
    """The newest head that was seen is applied, and heads have come within the last seconds."""
    store: str
    revision: int
    from_disk: bool
    """Nothing but the last copy was seen so far, and nobody has said that it is the newest."""
    head_age: float
    """Seconds since the last head, infinite before the first."""


class ConfigFeed:
    """One consumer's feed. `events()` is read by one task; `status()` by anybody. Of several processes that begin with
    the same copy, one `keeps` it."""

    def __init__(self, bus: Bus, last_copy: Path | None = None, *, keeps: bool = True) -> None:
        self._bus = bus
        self._path = last_copy
        self._keeps = keeps
        self._assembler = Assembler()
        self._shown: ConfigEvent | None = None
        self._from_disk = False
        self._head_at = -math.inf
        self._saved_revision: tuple[str, int] | None = None
        self._saved_at = -math.inf
        self._writing = threading.Lock()
        self._silence = SILENCE
        self._retry = RETRY

    def status(self) -> FeedStatus:
        """How true the shown state is now."""
        age = asyncio.get_running_loop().time() - self._head_at
        return FeedStatus(
            connected=self._bus.is_connected,
            in_sync=self._assembler.in_sync and age < SILENCE,
            store="" if self._shown is None else self._shown.store,
            revision=self._assembler.revision,
            from_disk=self._from_disk,
            head_age=age,
        )

    async def events(self) -> AsyncIterator[ConfigEvent]:
        """The whole state, then every change set, for ever. A `FullState` may come again: after the one from disk
        when the store is another one now."""
        copy = None if self._path is None else await asyncio.to_thread(read_last_copy, self._path)
        if copy is not None:
            self._from_disk = True
            self._saved_revision = (copy.store, copy.revision)
            full = self._assembler.restore(copy)
            self._shown = full
            yield full
        cancellation = Cancellation()
        try:
            while True:
                cancellation.check()
                generation = self._bus.generation
                try:
                    await self._bus.connected()
                    generation = self._bus.generation
                    async for event in self._watch(cancellation):
                        self._retry = RETRY
                        yield event
                        cancellation.forget()
                except NotFoundError:
                    self._retry = RETRY  # Galley makes the bucket as soon as it can
                except (*BUS_ERRORS, RecordError) as error:
                    _log.warning("feed interrupted", error=type(error).__name__, detail=str(error))
                await self._save(now=True)
                if generation == self._bus.generation:
                    await asyncio.sleep(self._retry)
                    self._retry = min(self._retry * 2, LONGEST_RETRY)
        finally:
            self._save_now()

    async def _watch(self, cancellation: Cancellation) -> AsyncIterator[ConfigEvent]:
        """One watch of the bucket, until it has to be made anew."""
        async with BucketWatch(self._bus, CONFIG_BUCKET) as watch:
            self._assembler.begin_watch()
            loop = asyncio.get_running_loop()
            quiet_since = moved_at = loop.time()
            while (item := await watch.next(TICK)) is not Mark.BROKEN:
                cancellation.check()
                if item is Mark.QUIET:
                    await self._save()
                    if loop.time() - max(quiet_since, self._head_at) > self._silence:
                        self._silence = min(self._silence * 2, LONGEST_SILENCE)
                        return
                    continue
                outputs = self._consume(item)
                if outputs or not self._assembler.waits:
                    moved_at = loop.time()
                elif loop.time() - moved_at > LONGEST_WAIT:
                    outputs = (self._assembler.stalled(),)
                for output in outputs:
                    async for event in self._shown_by(output):
                        yield event
                    if isinstance(output, Relist):
                        return

    def _consume(self, item: BucketEntry | Mark) -> tuple[Output, ...]:
        if isinstance(item, Mark):
            return self._assembler.listed()
        if item.value is None:
            self._assembler.purged(item.key)
            return ()
        try:
            if item.key != HEAD_KEY:
                parse_kv_key(item.key)
                self._assembler.record(item.key, decode_record(item.key, item.value))
                return ()
            head = decode_head(item.value)
        except ValueError as error:  # a RecordError, or a key that is not one
            _log.error("message refused", key=item.key, reason=str(error))
            return ()
        self._head_at = asyncio.get_running_loop().time()
        self._silence = SILENCE
        outputs = self._assembler.head(head)
        if self._assembler.in_sync:
            self._from_disk = False  # the copy is the truth: there is no step to show
        return outputs

    async def _shown_by(self, output: Output) -> AsyncIterator[ConfigEvent]:
        if isinstance(output, Refused):
            _log.warning("message refused", reason=output.reason)
        elif isinstance(output, Relist):
            _log.warning("asking galley for the whole list", reason=output.reason)
            for answer in self._assembler.full_list(await request_list(self._bus)):
                async for event in self._shown_by(answer):
                    yield event
        else:
            self._shown, self._from_disk = output, False
            yield output
            await self._save()

    async def _save(self, *, now: bool = False) -> None:
        """Write the last copy if it is due; the disk never holds up the feed for long."""
        loop = asyncio.get_running_loop()
        if self._path is None or not self._keeps or (not now and loop.time() - self._saved_at < SAVE_EVERY):
            return
        copy = self._assembler.copy()
        if copy is None or self._saved_revision == (copy.store, copy.revision):
            return
        self._saved_at = loop.time()
        await asyncio.to_thread(self._write, self._path, copy)

    def _save_now(self) -> None:
        copy = self._assembler.copy()
        if self._path is not None and self._keeps and copy is not None:
            self._write(self._path, copy)

    def _write(self, path: Path, copy: StateCopy) -> None:
        """In a thread, or at the end in the loop: then it waits for a thread that still writes an older copy."""
        with self._writing:
            if self._saved_revision == (copy.store, copy.revision):
                return
            try:
                write_last_copy(path, copy)
            except OSError as error:
                _log.error("last copy not written", path=str(path), error=type(error).__name__)
            else:
                self._saved_revision = (copy.store, copy.revision)
