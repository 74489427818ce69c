"""Consumers of config that remember every state that they were ever shown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshcore.bus.connection import Bus, BusSettings
from meshcore.bus.feed import ConfigFeed
from meshcore.distribution.events import FullState
from meshcore.distribution.keys import Key
from meshcore.runtime.tasks import cancel, create_task

from tests.faults.ledger import fingerprint


class Consumer:
    """One feed, with or without a last copy on disk. `restart()` is the death of its process."""

    def __init__(self, name: str, url: str, last_copy: Path | None = None) -> None:
        self.name = name
        self.values: dict[str, str] = {}
        self.revision = -1
        self.complaints: list[str] = []
        self.shown: list[tuple[int, int]] = []
        """Revision and fingerprint of each state."""
        self._settings = BusSettings(url, name=name)
        self._last_copy = last_copy
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Consumer:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        self._task = create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        if self._task is not None:
            await cancel(self._task)
            if not self._task.cancelled():
                self.complaints.append(f"{self.name} ended: {self._task.exception()!r}")

    async def restart(self) -> None:
        await self.stop()
        self.values, self.revision = {}, -1
        self.start()

    async def until(self, reached: Callable[[Consumer], bool], seconds: float) -> None:
        """TimeoutError says where it is instead."""
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: reached(self))
        except TimeoutError:
            raise TimeoutError(f"consumer {self.name} stays at {self.revision} {self.complaints}") from None

    async def _run(self) -> None:
        bus = Bus(self._settings)
        async with bus, contextlib.aclosing(ConfigFeed(bus, self._last_copy).events()) as events:
            async for event in events:
                if isinstance(event, FullState):
                    self.values = {
                        key.name: _value(record.object) for key, record in event.entries.items() if _is_ours(key)
                    }
                else:
                    if event.previous != self.revision:
                        self.complaints.append(f"{self.name}: {event.previous} follows {self.revision}")
                    for change in event.changes:
                        if _is_ours(change.key):
                            if change.object is None:
                                self.values.pop(change.key.name, None)
                            else:
                                self.values[change.key.name] = _value(change.object)
                if event.revision <= self.revision:
                    self.complaints.append(f"{self.name}: {event.revision} comes after {self.revision}")
                self.revision = event.revision
                self.shown.append((event.revision, fingerprint(self.values)))
                async with self._news:
                    self._news.notify_all()


def _is_ours(key: Key) -> bool:
    return key.plural == "configmaps" and key.namespace == "default"


def _value(document: Any) -> str:
    return str(document["data"]["v"])
