"""How fast new streams are taken in: in order, as many at a time as are being served their first config. Pure.

Connecting costs a compile and a large message, so a storm is spread, not refused. Istio's two variables are hard
ceilings: `PILOT_PUSH_THROTTLE` on streams being served at once, `PILOT_MAX_REQUESTS_PER_SECOND` on new streams.
"""

from collections import OrderedDict

ADAPTIVE_LIMIT = 64
PATIENCE = 1.0
"""Seconds after which whoever has said nothing while it is served gives its place to one that waits. It goes on being
served: it costs nothing while it is silent."""
LONGEST_OVER_CEILING = 1.0
"""Seconds that a stream over the rate ceiling may be delayed before it is refused, as in Istio."""


class Admission:
    """Streams that wait, and streams that are admitted, have not had their first complete config and talk."""

    def __init__(self, at_once: int = 0, per_second: float = 0.0) -> None:
        self.limit = at_once or ADAPTIVE_LIMIT
        self.per_second = per_second
        self._next_slot = 0.0
        self._waiting: OrderedDict[int, float] = OrderedDict()
        self._busy: OrderedDict[int, float] = OrderedDict()
        """When each was last heard, the longest silent first."""

    @property
    def backlog(self) -> int:
        """Streams that wait."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Streams admitted but not complete."""
        return len(self._busy)

    def arrived(self, stream: int, now: float) -> bool:
        """A new stream; False when it is over the rate ceiling and has to be refused."""
        start = now
        if self.per_second > 0:
            start = max(now, self._next_slot)
            if start - now > LONGEST_OVER_CEILING:
                return False
            self._next_slot = start + 1 / self.per_second
        self._waiting[stream] = start
        return True

    def admitted(self, now: float) -> list[int]:
        """The streams that may be read now, in the order of arrival."""
        out = []
        while (start := self.next_start) is not None and start <= now:
            if len(self._busy) >= self.limit:
                self._busy.popitem(last=False)
            stream, _ = self._waiting.popitem(last=False)
            self._busy[stream] = now
            out.append(stream)
        return out

    def heard(self, stream: int, now: float) -> None:
        """A stream that is being served has said something."""
        if stream in self._busy:
            self._busy[stream] = now
            self._busy.move_to_end(stream)

    @property
    def next_start(self) -> float | None:
        """When the first waiting stream may start: by the rate, and once a place is free or its holder has been silent
        for too long. None when none waits."""
        if not self._waiting:
            return None
        start = next(iter(self._waiting.values()))
        if len(self._busy) < self.limit:
            return start
        return max(start, next(iter(self._busy.values())) + PATIENCE)

    def finished(self, stream: int) -> None:
        """The stream has its first complete config, or is gone."""
        self._waiting.pop(stream, None)
        self._busy.pop(stream, None)
