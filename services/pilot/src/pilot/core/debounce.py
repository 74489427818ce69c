"""When a change goes out: at once after a quiet time, else when the burst is over. Pure; seconds of any clock."""

SPACING = 0.25
"""The part of the quiet time that lies between two pushes at least."""


class Debounce:
    """A lone event is due at once: one after `quiet` seconds of silence, or one that comes when everything before it
    has arrived everywhere; then at least `SPACING` of `quiet` lies between two pushes. Events that follow each other
    more closely are due `quiet` seconds after the last of them, but at most `longest` after the first."""

    def __init__(self, quiet: float, longest: float) -> None:
        self.quiet = quiet
        self.longest = longest
        self._first: float | None = None
        self._last: float | None = None
        self._due: float | None = None
        self._spaced = 0.0
        """Before this no event goes out because what was before it has arrived."""

    @property
    def due(self) -> float | None:
        """When to act; None when nothing has happened since the last time."""
        return self._due

    @property
    def waiting_since(self) -> float | None:
        """The first event that has not been acted upon."""
        return self._first

    def event(self, now: float, *, settled: bool = False) -> None:
        """Something has changed; `settled` when all that changed before has arrived everywhere."""
        silent = self._last is None or now - self._last >= self.quiet
        lone = self._first is None and (silent or settled)
        self._first = now if self._first is None else self._first
        self._last = now
        if lone:
            self._due = now if silent else max(now, self._spaced)
        else:
            self._due = min(now + self.quiet, self._first + self.longest)

    def taken(self) -> None:
        """Everything so far is being acted upon."""
        if self._due is not None:
            self._spaced = self._due + SPACING * self.quiet
        self._first = None
        self._due = None
