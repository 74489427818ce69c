"""What was acknowledged to whom, and what each object may therefore be."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping


class Ledger:
    """Written by the writers, read when all is over. A value of None is: the object is not there."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str | None] = {}
        self.doubtful: dict[str, set[str | None]] = {}
        self.revisions: dict[int, frozenset[str]] = {}
        """Which names each acknowledged revision wrote."""
        self.complaints: list[str] = []
        self.count = 0
        self._news = asyncio.Condition()

    async def acknowledge(self, revision: int, values: Mapping[str, str | None]) -> None:
        """One write, answered with success."""
        if revision in self.revisions:
            self.complaints.append(f"revision {revision} was given twice")
        self.revisions[revision] = frozenset(values)
        for name, value in values.items():
            self.acknowledged[name] = value
            self.doubtful.pop(name, None)
        self.count += 1
        async with self._news:
            self._news.notify_all()

    def doubt(self, values: Mapping[str, str | None]) -> None:
        """One write is sent: until its answer comes it may be done, now or later."""
        for name, value in values.items():
            self.doubtful.setdefault(name, set()).add(value)

    def refuse(self, values: Mapping[str, str | None]) -> None:
        """One write was answered with an error: it is not done, and never will be."""
        for name, value in values.items():
            self.doubtful.get(name, set()).discard(value)

    def saw(self, name: str, value: str | None) -> None:
        """A read's answer: what was read is committed."""
        if name in self.acknowledged and value not in self.possible(name):
            self.complaints.append(f"{name} was read as {value}, but may only be one of {self.possible(name)}")
        self.acknowledged[name] = value

    def possible(self, name: str) -> set[str | None]:
        """What the object may be: what was last acknowledged, or anything tried since without an answer."""
        return {self.acknowledged.get(name)} | self.doubtful.get(name, set())

    async def more(self, count: int, seconds: float) -> None:
        """Until so many more writes are acknowledged."""
        goal = self.count + count
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: self.count >= goal)

    def judge(self, found: Mapping[str, str], of: str) -> list[str]:
        """What is wrong with a final state."""
        wrong = [
            f"{of}: {name} is {found.get(name)}, not one of {self.possible(name)}"
            for name in sorted(self.acknowledged.keys() | self.doubtful.keys())
            if found.get(name) not in self.possible(name)
        ]
        unknown = found.keys() - self.acknowledged.keys() - self.doubtful.keys()
        return wrong + [f"{of}: {name} was never written" for name in sorted(unknown)]
