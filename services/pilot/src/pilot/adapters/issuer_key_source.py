"""Keeps the keys of JWT issuers fresh, in the background: an issuer never holds up the config of anybody but the
workloads that take its tokens, nor theirs for longer than the first try of its keys may take.

A new source is tried at once. After a success it is tried again every `PILOT_JWT_PUB_KEY_REFRESH_INTERVAL`; after a
failure seven times in a row, then after a minute, and twice as long each time up to an hour (security.md §6). Older
keys stay in use for seven days, and across restarts.
"""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog
from meshcore.errors import MeshError
from meshcore.runtime import tasks
from meshcore.tls.identity import write_private

from pilot.adapters import telemetry
from pilot.adapters.hub import Hub
from pilot.adapters.issuer_fetch import IssuerFetch, NotFetched
from pilot.core.issuer_keys import KeySource, fetched_keys

QUICK_RETRIES = 7
QUICK_PAUSE = 1.0
FIRST_PAUSE, LAST_PAUSE = 60.0, 3600.0
KEPT_FOR = timedelta(days=7)
AT_ONCE = 8
"""Fetches that run at the same time."""
_log = structlog.get_logger("issuer-keys")


@dataclass
class _Source:
    """One source; times are of the epoch."""

    due: float = 0.0
    failures: int = 0
    fetched: float = 0.0
    """When it last brought keys; 0 for never."""
    fetching: bool = False


class IssuerKeySource:
    """`run` belongs into the process's task group. Of several processes that begin with the same copy, one `keeps`
    it."""

    def __init__(
        self,
        hub: Hub,
        fetch: IssuerFetch,
        every: timedelta,
        copy: Path | None,
        clock: Callable[[], float] = time.time,
        *,
        keeps: bool = True,
    ) -> None:
        self._hub, self._fetch, self._every, self._copy, self._clock = hub, fetch, every.total_seconds(), copy, clock
        self._keeps = keeps
        self._sources: dict[KeySource, _Source] = {}
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._running: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._saving = asyncio.Lock()
        hub.engine.key_demand.is_served = True
        self._load()

    async def run(self) -> None:
        """Fetch for ever; one fetch never waits for another's issuer."""
        await self._hub.has_state.wait()
        try:
            while True:
                self._wake.clear()
                self._hub.keys_wanted.clear()
                wait = self._look()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._something()
        finally:
            await tasks.cancel(*self._running)

    @property
    def fetching(self) -> int:
        """How many fetches are under way."""
        return len(self._running)

    async def _something(self) -> None:
        wanted = tasks.create_task(self._hub.keys_wanted.wait(), name="keys wanted")
        woken = tasks.create_task(self._wake.wait(), name="keys fetched")
        try:
            await asyncio.wait((wanted, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await tasks.cancel(wanted, woken)

    def _look(self) -> float | None:
        """Start what is due, forget what nobody wants or what is too old; seconds until something is due."""
        now, engine = self._clock(), self._hub.engine
        wanted = engine.key_demand.wanted(engine.snapshot)
        gone = [source for source in self._sources if source not in wanted]
        for source in gone:
            del self._sources[source]
        stale = [
            source
            for source, state in self._sources.items()
            if source in engine.snapshot.keys.sets and now - state.fetched > KEPT_FOR.total_seconds()
        ]
        if gone or stale:
            faults = {source: "its keys were not refreshed for seven days" for source in stale}
            self._hub.take_keys(engine.snapshot.keys.without([*gone, *stale]).failing(faults))
        for source, limit in wanted.items():
            state = self._sources.setdefault(source, _Source())
            # A clock that is set back is no reason to wait for as long as it was ahead.
            state.due = min(state.due, now + max(self._every, LAST_PAUSE))
            if state.due <= now and not state.fetching:
                state.fetching = True
                task = tasks.create_task(self._refresh(source, state, limit), name="issuer keys")
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        due = [state.due for state in self._sources.values() if not state.fetching]
        return max(0.0, min(due) - now) if due else None

    async def _refresh(self, source: KeySource, state: _Source, limit: timedelta) -> None:
        try:
            async with self._limit:
                keys = await self._fetch.keys(source, limit)
        except NotFetched as error:
            self._failed(source, state, str(error))
        except Exception as error:  # noqa: BLE001 - a bug of ours is tried again like all else, not at once without end
            _log.error("fetch of keys failed", issuer=source.issuer, uri=source.shown, exc_info=error)
            self._failed(source, state, type(error).__name__)
        else:
            self._succeeded(source, state, keys)
            await self._save()
        finally:
            state.fetching = False
            self._wake.set()

    def _succeeded(self, source: KeySource, state: _Source, keys: str) -> None:
        telemetry.KEYS_FETCHED.inc()
        now = self._clock()
        state.failures, state.fetched = 0, now
        state.due = now + self._every * random.uniform(0.9, 1.0)  # noqa: S311 - spreads the fetches
        if self._sources.get(source) is not state:
            return
        before = self._hub.engine.snapshot.keys
        if before.sets.get(source) != keys:
            _log.info("keys of an issuer in use", issuer=source.issuer, uri=source.shown)
        self._hub.take_keys(before.known(source, keys))

    def _failed(self, source: KeySource, state: _Source, fault: str) -> None:
        telemetry.KEYS_NOT_FETCHED.inc()
        state.failures += 1
        slow = state.failures - QUICK_RETRIES
        pause = QUICK_PAUSE if slow <= 0 else min(FIRST_PAUSE * 2 ** min(slow - 1, 10), LAST_PAUSE)
        state.due = self._clock() + pause
        if self._sources.get(source) is not state:
            return
        before = self._hub.engine.snapshot.keys
        if before.faults.get(source) != fault:
            _log.warning("keys of an issuer not fetched", issuer=source.issuer, uri=source.shown, reason=fault)
        self._hub.take_keys(before.failing({source: fault}))

    def _load(self) -> None:
        """The last copy, so that a restart refuses no token while an issuer is away."""
        if self._copy is None or not self._copy.exists():
            return
        now, keys = self._clock(), self._hub.engine.snapshot.keys
        try:
            entries = json.loads(self._copy.read_bytes())
            for entry in entries:
                source, fetched = KeySource(entry["issuer"], entry["uri"]), float(entry["fetched"])
                if now - fetched < KEPT_FOR.total_seconds():
                    keys = keys.known(source, fetched_keys(entry["keys"]))
                    self._sources[source] = _Source(fetched=fetched)
        except (OSError, ValueError, KeyError, TypeError, MeshError) as error:
            _log.warning("stored keys of issuers are not usable", reason=type(error).__name__)
            self._sources.clear()
            return
        self._hub.take_keys(keys)

    async def _save(self) -> None:
        if self._copy is None or not self._keeps:
            return
        sets: Mapping[KeySource, str] = self._hub.engine.snapshot.keys.sets
        entries: list[dict[str, Any]] = [
            {"issuer": source.issuer, "uri": source.uri, "keys": keys, "fetched": self._sources[source].fetched}
            for source, keys in sorted(sets.items())
            if source in self._sources
        ]
        try:
            async with self._saving:
                await asyncio.to_thread(write_private, self._copy, json.dumps(entries).encode())
        except OSError as error:
            _log.warning("keys of issuers not stored", reason=type(error).__name__)
