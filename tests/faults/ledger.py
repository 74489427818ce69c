"""What was acknowledged to whom, what each object may therefore be, and what is wrong with what is found."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

Values = Mapping[str, str | None]
"""Objects by name. None is: the object is not there."""


class Ledger:
    """Written by the writers, read when all is over."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str | None] = {}
        self.doubtful: dict[str, set[str | None]] = {}
        self.tried: set[tuple[str, str | None]] = set()
        self.revisions: dict[int, Values] = {}
        """What each acknowledged revision wrote."""
        self.newest = 0
        """The newest acknowledged revision."""
        self.complaints: list[str] = []
        self.unanswered: Counter[str] = Counter()
        """Why writers do not know what became of a write."""
        self.count = 0
        self._news = asyncio.Condition()

    async def acknowledge(self, values: Values, revision: int | None, after: int) -> None:
        """One write, answered with success. `after` is what `doubt` said of it; None is an answer that names no
        revision (of a deletion)."""
        if revision is not None:
            if revision in self.revisions:
                self.complaints.append(f"revision {revision} was given twice")
            if revision <= after:
                self.complaints.append(f"revision {revision} was given to a write sent after {after} was acknowledged")
            self.revisions[revision] = dict(values)
            self.newest = max(self.newest, revision)
        for name, value in values.items():
            self.acknowledged[name] = value
            self.doubtful.pop(name, None)
        self.count += 1
        async with self._news:
            self._news.notify_all()

    def doubt(self, values: Values) -> int:
        """One write is sent: until its answer comes it may be done, now or later. Its revision will be higher than
        the one that this returns."""
        for name, value in values.items():
            self.doubtful.setdefault(name, set()).add(value)
            self.tried.add((name, value))
        return self.newest

    def refuse(self, values: Values) -> None:
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

    def judge(self, found: Mapping[str, str]) -> list[str]:
        """What is wrong with the store's final state."""
        wrong = [
            f"{name} is {found.get(name)}, not one of {self.possible(name)}"
            for name in sorted(self.acknowledged.keys() | self.doubtful.keys())
            if found.get(name) not in self.possible(name)
        ]
        unknown = found.keys() - self.acknowledged.keys() - self.doubtful.keys()
        return wrong + [f"{name} was never written" for name in sorted(unknown)]

    def judge_history(self, history: Mapping[int, Values], whole: Callable[[Values], bool]) -> list[str]:
        """What is wrong with what each revision of the store wrote. `whole` tells a change set from a part of one."""
        wrong = [
            f"revision {number} wrote {history.get(number, {})}, acknowledged was {values}"
            for number, values in self.revisions.items()
            if history.get(number) != values
        ]
        for number, values in history.items():
            if not whole(values):
                wrong.append(f"revision {number} is a part: {values}")
            wrong += [
                f"revision {number} wrote what nobody did: {item}" for item in values.items() if item not in self.tried
            ]
        return wrong


def fingerprint(values: Values) -> int:
    """Two states with the same one are the same."""
    return hash(frozenset(values.items()))


def states(history: Mapping[int, Values], newest: int) -> list[int]:
    """The fingerprint of the whole state at every revision, 0 to the newest."""
    state: dict[str, str | None] = {}
    found = []
    for revision in range(newest + 1):
        for name, value in history.get(revision, {}).items():
            if value is None:
                state.pop(name, None)
            else:
                state[name] = value
        found.append(fingerprint(state))
    return found


def judge_shown(shown: Iterable[tuple[int, int]], truth: list[int]) -> list[str]:
    """What is wrong with the states that a consumer ever showed: revisions and fingerprints."""
    return [
        f"what was shown at revision {revision} never was the state of the store"
        for revision, state in shown
        if revision >= len(truth) or truth[revision] != state
    ]
