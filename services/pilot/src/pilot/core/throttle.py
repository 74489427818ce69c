"""How many pushes go on at once, where `PILOT_PUSH_THROTTLE` bounds them. Pure.

As in Istio a push goes on from when it is compiled until all of it is written; what a client says to it is not waited
for. Here compiling takes turns anyway, so those that count are pushes that slow clients do not take off us.
"""


class Throttle:
    """The streams that are being pushed to, and those that wait for their turn. 0 lets all go on at once."""

    def __init__(self, at_once: int = 0) -> None:
        self.at_once = at_once
        self._going: set[int] = set()
        self._waiting: dict[int, None] = {}

    def begins(self, stream: int) -> bool:
        """Whether the stream may be pushed to now; else it waits for its turn."""
        if self.at_once == 0 or stream in self._going:
            return True
        if len(self._going) < self.at_once:
            self._going.add(stream)
            self._waiting.pop(stream, None)
            return True
        self._waiting[stream] = None
        return False

    def ends(self, stream: int) -> int | None:
        """All is written, or the stream is gone; the stream whose turn it is now, if one has waited."""
        if stream not in self._going:
            return None
        self._going.discard(stream)
        following = next(iter(self._waiting), None)
        if following is not None:
            del self._waiting[following]
            self._going.add(following)
        return following

    def left(self, stream: int) -> int | None:
        """As `ends`, of a stream that is gone and may have waited."""
        self._waiting.pop(stream, None)
        return self.ends(stream)
