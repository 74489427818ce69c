"""The bucket `mesh-endpoints`: registered workloads and the heartbeats of Pilot processes, in NATS and as last copy.

Keys: `e.<namespace>.<name>` for entries, `h.<process>` for heartbeats. Every write compares the sequence that it was
decided on. NATS may lose everything: what this process has seen and the bucket has not is put back. So a key that was
deleted stays marked as that until nobody can have missed it.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog
from meshcore.bus.connection import BUS_ERRORS, Bus
from meshcore.bus.watch import BucketEntry, BucketWatch, Mark
from meshcore.tls import write_private
from nats.errors import ConnectionClosedError
from nats.js.api import KeyValueConfig
from nats.js.errors import BadRequestError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

from pilot.core.registration import Entry, Name

BUCKET = "mesh-endpoints"
LEASES = "l."
"""Prefix of the keys of leases (`pilot.adapters.lease`); this view passes them over."""
SILENCE = 7.0
_BURIED_AT_ONCE = 50
"""Deleted keys that are forgotten at one time: each is a request."""
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")
_log = structlog.get_logger("registration")


class Heartbeat(msgspec.Struct, frozen=True):
    """What a Pilot process writes every few seconds."""

    instance: str
    process: str
    beat: int


@dataclass(frozen=True, slots=True)
class Held:
    """An entry and the sequence of the message that carries it."""

    entry: Entry
    sequence: int


def entry_key(name: Name) -> str:
    """The bucket key of an entry."""
    return f"e.{_token(name[0])}.{_token(name[1])}"


def heartbeat_key(process: str) -> str:
    """The bucket key of a process's heartbeat."""
    return f"h.{_token(process)}"


def _token(text: str) -> str:
    return _UNSAFE.sub(lambda found: b"=%02X" % found[0][0], text.encode()).decode()


async def until_connected(bus: Bus) -> None:
    """Wait for NATS; for ever once the bus is closed, since then the service is ending."""
    try:
        await bus.connected()
    except ConnectionClosedError:
        await asyncio.Event().wait()


class EndpointsBucket:
    """This process's view of the bucket. `changed` is called after each change of the entries.

    Heartbeats come all the time, so after `silence` seconds of nothing the watch is dead and made anew. Of several
    processes that begin with the same copy, one `keeps` it.
    """

    def __init__(
        self,
        bus: Bus,
        last_copy: Path | None,
        changed: Callable[[], None],
        *,
        silence: float = SILENCE,
        keeps: bool = True,
    ) -> None:
        self._bus = bus
        self._path = last_copy
        self._keeps = keeps
        self._changed = changed
        self._silence = silence
        self._held: dict[str, Held] = {}
        self._beats: dict[str, tuple[Heartbeat, float]] = {}
        self._sequence = 0
        self._kv: KeyValue | None = None
        self.in_sync_since: float | None = None
        """Since when the watch has shown everything; None while it has not."""
        self._saved: dict[str, Held] | None = None
        self._deleted: dict[str, tuple[int, float]] = {}
        """Keys that are marked as deleted: the mark's sequence, and since when this process knows of it."""

    @property
    def entries(self) -> list[Entry]:
        """All entries, by key."""
        return [self._held[key].entry for key in sorted(self._held)]

    @property
    def sequence(self) -> int:
        """The last news of an entry that this view has: nobody would ever tell that a heartbeat has been taken in."""
        return self._sequence

    def find(self, name: Name) -> Held | None:
        """One entry."""
        return self._held.get(entry_key(name))

    def beating(self, process: str, within: float) -> bool:
        """Whether a process has renewed its heartbeat within that many seconds, as seen from here."""
        beat = self._beats.get(process)
        return beat is not None and time.monotonic() - beat[1] <= within

    def leads(self, process: str, within: float) -> bool:
        """Whether this process is the first of those that live, so that it does what one of them is to do."""
        limit = time.monotonic() - within
        return all(process <= beat.process for beat, at in self._beats.values() if at >= limit)

    def instances(self, within: float) -> set[str]:
        """Instances of which a process has renewed its heartbeat within that many seconds."""
        limit = time.monotonic() - within
        return {beat.instance for beat, at in self._beats.values() if at >= limit}

    def load_last_copy(self) -> None:
        """Begin with what was registered when an earlier run wrote it down."""
        if self._path is None:
            return
        try:
            entries = msgspec.json.decode(self._path.read_bytes(), type=list[Entry])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("last copy of registrations is not usable", path=str(self._path), reason=type(error).__name__)
            return
        self._held = {entry_key(entry.key): Held(entry, 0) for entry in entries}
        self._changed()

    async def watch(self) -> None:
        """Follow the bucket for ever, through lost connections."""
        while True:
            await until_connected(self._bus)
            try:
                await self._follow()
            except NotFoundError:
                await self._create()
            except BUS_ERRORS as error:
                _log.warning("watch of registrations interrupted", error=type(error).__name__)
                await asyncio.sleep(0.3)
            finally:
                self.in_sync_since = None

    async def put(self, entry: Entry, sequence: int) -> int | None:
        """Write an entry over the one of that sequence (0: none); the new sequence, or None if somebody was faster."""
        body = msgspec.json.encode(entry)
        written = await self._write(entry_key(entry.key), body, sequence)
        if written is not None:
            self._take(BucketEntry(entry_key(entry.key), body, written))
            self._changed()
        return written

    async def delete(self, held: Held) -> bool:
        """Delete an entry if it is still the one of that sequence; not while the bucket is still being listed."""
        if held.sequence == 0:
            return False  # to the client that would mean "whatever is there"
        store = await self._store()
        try:
            await store.delete(entry_key(held.entry.key), last=held.sequence)
        except (KeyWrongLastSequenceError, BadRequestError):
            return False
        return True

    async def beat(self, heartbeat: Heartbeat) -> None:
        """Renew this process's heartbeat."""
        store = await self._store()
        await store.put(heartbeat_key(heartbeat.process), msgspec.json.encode(heartbeat))

    async def end_beat(self, process: str) -> None:
        """This process ends in good order; its streams come back elsewhere."""
        store = await self._store()
        await store.delete(heartbeat_key(process))

    async def forget_deleted(self, age: float, *, leads: bool) -> None:
        """Take the marks of keys out of the bucket that have been deleted for that many seconds; not those of keys that
        are there again. Who was away for longer puts back what it knows, and expiry judges it. Whoever does not lead
        forgets them later, in case the other one cannot."""
        limit = time.monotonic() - (age if leads else 2 * age)
        due = [(key, mark) for key, (mark, since) in self._deleted.items() if since <= limit][:_BURIED_AT_ONCE]
        for key, mark in due:
            if leads:
                subject, stream = f"$KV.{BUCKET}.{key}", f"KV_{BUCKET}"
                await self._bus.jetstream().purge_stream(stream, seq=mark + 1, subject=subject)
            self._deleted.pop(key, None)

    async def save(self) -> None:
        """Write the last copy when something has changed since."""
        held = dict(self._held)
        if self._path is None or not self._keeps or held == self._saved:
            return
        body = msgspec.json.encode([held[key].entry for key in sorted(held)])
        await asyncio.to_thread(write_private, self._path, body)
        self._saved = held

    async def _follow(self) -> None:
        # A store that was lost counts its messages from one again.
        self._sequence = 0
        self._deleted.clear()
        self._held = {key: Held(held.entry, 0) for key, held in self._held.items()}
        before = dict(self._held)
        seen: set[str] = set()
        async with BucketWatch(self._bus, BUCKET) as watch:
            while (item := await watch.next(self._silence)) not in (Mark.BROKEN, Mark.QUIET):
                if isinstance(item, BucketEntry):
                    seen.add(item.key)
                    if self._take(item) and self.in_sync_since is not None:
                        self._changed()
                elif item is Mark.LISTED:
                    self.in_sync_since = time.monotonic()
                    self._changed()
                    await self._restore({key: held for key, held in before.items() if key not in seen})

    async def _restore(self, lost: dict[str, Held]) -> None:
        """The bucket has forgotten these without a mark: put them back; expiry judges them like all others."""
        for key, held in lost.items():
            written = await self._write(key, msgspec.json.encode(held.entry), 0)
            if written is None:
                self._held.pop(key, None)
            else:
                self._held[key] = Held(held.entry, written)
                _log.warning("registration put back, nats had lost it", key=key)

    def _take(self, item: BucketEntry) -> bool:
        """Take one message into the view; whether it was news of an entry."""
        self._deleted.pop(item.key, None)
        if item.value is None:
            self._deleted[item.key] = (item.sequence, time.monotonic())
        if item.key.startswith("h."):
            self._take_beat(item)
            return False
        if item.key.startswith(LEASES):
            return False
        if news := self._take_entry(item):
            self._sequence = max(self._sequence, item.sequence)
        return news

    def _take_entry(self, item: BucketEntry) -> bool:
        known = self._held.get(item.key)
        if known is not None and item.sequence < known.sequence:
            return False  # our own write was answered before the watch showed what came before it
        if item.value is None:
            return self._held.pop(item.key, None) is not None
        try:
            entry = msgspec.json.decode(item.value, type=Entry)
        except (msgspec.MsgspecError, RecursionError):
            _log.error("registration is malformed", key=item.key)
            return False
        self._held[item.key] = Held(entry, item.sequence)
        # One that says the same is told on as well: who wrote it may wait until everybody has come as far.
        return known is None or known.sequence < item.sequence

    def _take_beat(self, item: BucketEntry) -> None:
        if item.value is None:
            self._beats = {p: b for p, b in self._beats.items() if heartbeat_key(p) != item.key}
            return
        with contextlib.suppress(msgspec.MsgspecError, RecursionError):
            beat = msgspec.json.decode(item.value, type=Heartbeat)
            known = self._beats.get(beat.process)
            # A beat from before counts from when it is first seen: how old it was then is not known.
            if known is None or known[0] != beat:
                self._beats[beat.process] = (beat, time.monotonic())

    async def _write(self, key: str, body: bytes, sequence: int) -> int | None:
        store = await self._store()
        try:
            if sequence == 0:
                return int(await store.create(key, body))
            return int(await store.update(key, body, last=sequence))
        except (KeyWrongLastSequenceError, BadRequestError):
            return None

    async def _store(self) -> KeyValue:
        if self._kv is None:
            self._kv = await self._bus.jetstream().key_value(BUCKET)
        return self._kv

    async def _create(self) -> None:
        try:
            await self._bus.jetstream().create_key_value(KeyValueConfig(bucket=BUCKET, history=1))
        except BadRequestError:
            _log.info("bucket made by another pilot", bucket=BUCKET)
        except BUS_ERRORS as error:
            _log.warning("bucket not made yet", bucket=BUCKET, error=type(error).__name__)
            await asyncio.sleep(0.3)
