"""Watches: every change set after a revision, in order, from memory when it is recent and from SQL when it is not."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from galley.adapters.store.database import Database
from galley.adapters.store.reads import gone, read_change_sets, read_meta
from galley.core.storage import ChangeSet

KEPT_IN_MEMORY = 512
_SETS_PER_QUERY = 200


class ChangeFeed:
    """Tells subscribers of commits. `announce` brings this process's own; `poll` finds those of other replicas."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._recent: deque[ChangeSet] = deque(maxlen=KEPT_IN_MEMORY)
        self.known = 0
        """The newest revision that this process has heard of."""
        self._news = asyncio.Event()
        self._closed = False

    def announce(self, committed: Iterable[ChangeSet]) -> None:
        """New change sets of this process, in order."""
        for change_set in committed:
            if self._recent and self._recent[-1].revision + 1 != change_set.revision:
                self._recent.clear()  # another replica committed in between; SQL has the whole run
            self._recent.append(change_set)
            self.known = max(self.known, change_set.revision)
        self._wake()

    async def poll(self) -> None:
        """Look for commits of other replicas."""
        revision = int((await self._database.read(read_meta))["revision"])
        if revision > self.known:
            self.known = revision
            self._wake()

    def close(self) -> None:
        """End every subscription."""
        self._closed = True
        self._wake()

    async def wait_beyond(self, revision: int) -> bool:
        """Wait until something after this revision is committed; False when the store is closing."""
        while not self._closed and self.known <= revision:
            await self._news.wait()
        return not self._closed

    async def subscribe(self, from_revision: int) -> AsyncIterator[ChangeSet]:
        """Every change set after `from_revision`, for ever; GONE when some are compacted or it is not of this store."""
        await self.poll()
        if from_revision > self.known:
            raise gone(from_revision)
        seen = from_revision
        await self._database.read(lambda connection: read_change_sets(connection, seen, 1))
        while await self.wait_beyond(seen):
            for change_set in await self._after(seen):
                yield change_set
                seen = change_set.revision

    async def _after(self, seen: int) -> list[ChangeSet]:
        if self._recent and self._recent[0].revision <= seen + 1 <= self._recent[-1].revision:
            return [change_set for change_set in self._recent if change_set.revision > seen]
        return await self._database.read(lambda connection: read_change_sets(connection, seen, _SETS_PER_QUERY))

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
