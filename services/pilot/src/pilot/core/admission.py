"""How fast new streams are taken in: in order, as many at a time as are being served their first config. Pure.

Connecting costs a compile and a large message, so a storm is spread, not refused. Istio's two variables are hard
ceilings: `PILOT_PUSH_THROTTLE` on streams being served at once, `PILOT_MAX_REQUESTS_PER_SECOND` on new streams.
"""

from collections import OrderedDict

ADAPTIVE_LIMIT = 64
LONGEST_OVER_CEILING = 1.0
"""Seconds that a stream over the rate ceiling may be delayed before it is refused, as in Istio."""


class Admission:
    """Streams that wait, and streams that are admitted but have not had their first complete config."""

    def __init__(self, at_once: int = 0, per_second: float = 0.0) -> None:
        self.limit = at_once or ADAPTIVE_LIMIT
        self.per_second = per_second
        self._next_slot = 0.0
        self._waiting: OrderedDict[int, float] = OrderedDict()
        self._busy: set[int] = set()

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
        while self._waiting and len(self._busy) < self.limit:
            stream, start = next(iter(self._waiting.items()))
            if start > now:
                break
            del self._waiting[stream]
            self._busy.add(stream)
            out.append(stream)
        return out

    @property
    def next_start(self) -> float | None:
        """When the first waiting stream may start as far as the rate goes; None when none waits or none may."""
        if not self._waiting or len(self._busy) >= self.limit:
            return None
        return next(iter(self._waiting.values()))

    def finished(self, stream: int) -> None:
        """The stream has its first complete config, or is gone."""
        self._waiting.pop(stream, None)
        self._busy.discard(stream)
