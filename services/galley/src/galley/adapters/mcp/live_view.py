"""The present `ConfigView`, kept current from the store. Nothing is listed or packed before the first stream asks."""

import asyncio
from contextlib import aclosing

import structlog
from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import tasks

from galley.adapters.mcp import telemetry
from galley.adapters.store import Store
from galley.core.mcp.kinds import KIND_OF_KEY, WIRE_KINDS
from galley.core.mcp.view import ConfigView
from galley.core.storage import ChangeSet, ChangeType, StoredChange, StoredObject

QUIET, LONGEST = 0.1, 1.0
"""Seconds without a change before the view moves on, and how long a busy time may hold it back."""

_log = structlog.get_logger("mcp")


class LiveView:
    """`follow()` runs for ever; `after(seen)` gives the next view that is not `seen`."""

    def __init__(self, store: Store, *, quiet: float = QUIET, longest: float = LONGEST) -> None:
        self._store = store
        self._quiet = quiet
        self._longest = longest
        self._wanted = asyncio.Event()
        self._moved = asyncio.Event()
        self._view: ConfigView | None = None

    async def after(self, seen: ConfigView | None) -> ConfigView:
        """The present view as soon as it is another than `seen`."""
        self._wanted.set()
        while self._view is None or self._view is seen:
            await self._moved.wait()
        return self._view

    async def follow(self) -> None:
        """Keep the view current; begins when somebody wants it."""
        await self._wanted.wait()
        while True:
            revision = await self._list()
            try:
                await self._apply_changes(revision)
            except MeshError as error:
                if error.code is not ErrorCode.GONE:
                    raise
                _log.info("the store no longer knows the changes, listing again", revision=revision)
            else:
                return

    async def _list(self) -> int:
        """Read everything; what changes meanwhile comes again as a change."""
        revision = await self._store.revision()
        found: list[StoredObject] = []
        for kind in WIRE_KINDS:
            found += (await self._store.list(kind.group, kind.plural)).items
        # In a thread: packing thousands of objects would hold up everybody else's requests.
        self._move(await asyncio.to_thread((self._view or ConfigView()).listed, revision, found))
        return revision

    async def _apply_changes(self, revision: int) -> None:
        batch: list[ChangeSet] = []
        news = asyncio.Event()
        async with tasks.background(self._read(revision, batch, news), name="mcp changes") as reader:
            while not (reader.done() and not batch):
                await news.wait()
                await self._settle(batch, reader)
                taken, batch[:] = list(batch), []
                news.clear()
                if taken:
                    before, changes = self._view or ConfigView(), await self._newest(taken)
                    self._move(await asyncio.to_thread(before.changed, taken[-1].revision, changes))
                if reader.done():
                    news.set()
            reader.result()

    async def _read(self, revision: int, batch: list[ChangeSet], news: asyncio.Event) -> None:
        try:
            async with aclosing(self._store.subscribe(revision)) as change_sets:  # type: ignore[type-var]
                async for change_set in change_sets:
                    if change_set.is_config and any(_leaves(change) for change in change_set.changes):
                        batch.append(change_set)
                        news.set()
        finally:
            news.set()

    async def _settle(self, batch: list[ChangeSet], reader: "asyncio.Task[None]") -> None:
        loop = asyncio.get_running_loop()
        end, seen = loop.time() + self._longest, -1
        while len(batch) != seen and loop.time() < end and not reader.done():
            seen = len(batch)
            await asyncio.sleep(self._quiet)

    async def _newest(self, change_sets: list[ChangeSet]) -> dict[Key, StoredObject | None]:
        """What each changed object is now; read again where history has only what its author wrote."""
        last = {change.key: change for one in change_sets for change in one.changes if _leaves(change)}
        return {key: await self._object_of(change) for key, change in last.items()}

    async def _object_of(self, change: StoredChange) -> StoredObject | None:
        if change.type is ChangeType.DELETED:
            return None
        if change.object.normalised is not None:
            return change.object
        try:
            return await self._store.get(change.key)
        except MeshError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            return None

    def _move(self, view: ConfigView) -> None:
        known = {} if self._view is None else self._view.unpackable
        for key, reason in view.unpackable.items():
            if known.get(key) != reason:
                _log.error("an object does not fit its message and is left out", config=str(key), detail=reason)
        telemetry.LEFT_OUT.set(len(view.unpackable))
        self._view = view
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def _leaves(change: StoredChange) -> bool:
    return (change.key.group, change.key.plural) in KIND_OF_KEY
