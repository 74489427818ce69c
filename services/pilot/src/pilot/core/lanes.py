"""Two lanes of pushes: changes of endpoints alone go out while config waits for its burst to end, and before what waits
for its compile. Pure.

The snapshot and what is compiled of it know no lanes: whoever is given everything has both. A stream that is owed
config is given other endpoints in what its class was compiled of before; what that takes is kept here.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from meshcore.distribution.events import Change

from pilot.core.debounce import Debounce
from pilot.core.push_queue import Push, PushQueue
from pilot.core.registry import RegisteredWorkload
from pilot.core.snapshot import MeshSnapshot
from pilot.core.stream import Stream

_KEPT = 256
"""Changes of endpoints that are kept for those who wait for config; who lacks more of them waits for those, too."""


@dataclass(frozen=True, slots=True)
class Step:
    """What led from one snapshot to the next."""

    before: MeshSnapshot
    moved: frozenset[int] = frozenset()
    """Streams that are of another class now."""
    endpoints: int = 0
    """The number of the change of endpoints that it was; 0 if anything else changed."""


@dataclass
class Lane:
    """Who is to be pushed: first those whom the debounce holds, then those who are on their own to take it."""

    debounce: Debounce
    queue: PushQueue = field(default_factory=PushQueue)
    _held: dict[int, Push] = field(default_factory=dict)

    def touch(self, streams: Iterable[Stream], push: Push, now: float, *, settled: bool) -> None:
        """These streams are to be pushed; `settled` when all that changed before has arrived everywhere."""
        for stream in streams:
            known = self._held.get(stream.number)
            self._held[stream.number] = push if known is None else known.merged(push)
        if self._held:
            self.debounce.event(now, settled=settled)

    def release(self, waits: Callable[[int], bool] = lambda number: False) -> list[int]:
        """The debounce is over: the streams that now have a pending push and had none. Who `waits` is still held."""
        self.debounce.taken()
        held, self._held = self._held, {}
        for number in [number for number in held if waits(number)]:
            self._held[number] = held.pop(number)
        return [number for number, push in held.items() if self.queue.add(number, push)]

    def owes(self, number: int) -> bool:
        """Whether a stream is to be pushed, now or later."""
        return number in self._held or self.queue.pending(number)

    def forget(self, number: int) -> None:
        """A stream has ended, or has all that there is."""
        self._held.pop(number, None)
        self.queue.forget(number)

    def merge(self, number: int, push: Push) -> None:
        """A stream that it owes a push, now or later, is to have this one with it."""
        if (held := self._held.get(number)) is not None:
            self._held[number] = held.merged(push)
        else:
            self.queue.add(number, push)

    @property
    def idle(self) -> bool:
        """Whether nobody is to be pushed."""
        return not self._held and not self.queue


class EndpointChanges:
    """The last changes that concerned endpoints alone, to be applied to a snapshot without the config in between."""

    def __init__(self) -> None:
        self.count = 0
        """How many there were."""
        self._kept: deque[tuple[Change, ...]] = deque(maxlen=_KEPT)
        self._made: dict[int, tuple[MeshSnapshot, MeshSnapshot]] = {}

    def came(self, changes: tuple[Change, ...]) -> int:
        """One more, and its number; registrations are looked up when they are needed."""
        self.count += 1
        self._kept.append(changes)
        self._made.clear()
        return self.count

    def restarted(self) -> None:
        """Nothing leads from an earlier snapshot to what there is now."""
        self.count += 1
        self.forget()

    def upon(self, base: MeshSnapshot, seen: int, registered: Iterable[RegisteredWorkload]) -> MeshSnapshot | None:
        """A snapshot in which there were `seen` of them, with the others; it keeps its revision, for it lacks what else
        there was since. None when some of them are kept no longer."""
        lacks = self.count - seen
        if lacks > len(self._kept):
            return None
        known = self._made.get(id(base))
        if known is None:
            changes = [one for part in islice(self._kept, len(self._kept) - lacks, None) for one in part]
            made = base.apply(changes, base.revision).with_registered(registered)
            known = self._made[id(base)] = base, made
        return known[1]

    def forget(self) -> None:
        """Nobody is owed anything."""
        self._kept.clear()
        self._made.clear()
