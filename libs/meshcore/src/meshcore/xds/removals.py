"""When a cluster that the config has lost may be taken from a client: not before its routes have moved away.

Removing a cluster with the change that stops routing to it would answer 503 between the two messages. So it stays until
the client has acknowledged the listeners and routes of that change, or a delay is over. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Kept:
    change: int
    revision_before: int
    deadline: float


class Removals:
    """Clusters of one stream that are to go. `change` counts the targets that the stream was given."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._kept: dict[str, _Kept] = {}
        self._released: dict[str, int] = {}
        self._leaving: dict[str, int] = {}
        """Both with the revision before the one that lost the name; `_leaving` is sent and not answered yet."""
        self.pending = False
        """Whether anything is to go, or on its way out; nearly always nothing is."""

    @property
    def kept(self) -> frozenset[str]:
        """Names that must stay for now."""
        return frozenset(self._kept)

    @property
    def released(self) -> frozenset[str]:
        """Names that are to go with the next message."""
        return frozenset(self._released)

    @property
    def going(self) -> frozenset[str]:
        """Names that are to go, now or later."""
        return self.kept | self.released

    @property
    def deadline(self) -> float | None:
        """When the next name may go at the latest; None when none is waiting."""
        return min((kept.deadline for kept in self._kept.values()), default=None)

    @property
    def settled_revision(self) -> int | None:
        """The newest revision that has been carried out to the end; None when nothing waits."""
        waiting = [kept.revision_before for kept in self._kept.values()]
        return min([*waiting, *self._released.values(), *self._leaving.values()], default=None)

    def lost(self, names: Iterable[str], change: int, revision_before: int, now: float) -> bool:
        """The target of `change` lacks these held names. True when one of them was not known to be going."""
        news = [name for name in names if name not in self._kept and name not in self._released]
        for name in news:
            self._kept[name] = _Kept(change, revision_before, now + self._delay)
        self._note()
        return bool(news)

    def returned(self, names: Iterable[str]) -> None:
        """These names are in the target again."""
        for name in names:
            self._kept.pop(name, None)
            self._released.pop(name, None)
        self._note()

    def release(self, routes_acknowledged: int, now: float) -> bool:
        """Let go of names whose change the client's routes have reached, or whose time is up; True if any."""
        going = [
            name for name, kept in self._kept.items() if kept.change <= routes_acknowledged or kept.deadline <= now
        ]
        for name in going:
            self._released[name] = self._kept.pop(name).revision_before
        return bool(going)

    def release_at_once(self, names: Iterable[str], revision: int) -> None:
        """What a reconnecting client holds from before `revision` goes without delay."""
        self._released.update(dict.fromkeys(names, revision))
        self._note()

    def sent(self, names: Iterable[str]) -> None:
        """A message without these released names is on its way."""
        for name in names:
            self._leaving[name] = self._released.pop(name)

    def answered(self) -> None:
        """The client has answered that message, or has nothing that could be taken from it."""
        self._leaving.clear()
        self._note()

    def _note(self) -> None:
        self.pending = bool(self._kept or self._released or self._leaving)
