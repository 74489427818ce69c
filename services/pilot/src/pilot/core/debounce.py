"""When a change goes out: at once after a quiet time, else when the burst is over. Pure; seconds of any clock."""


class Debounce:
    """A lone event after `quiet` seconds of silence is due at once. Events that follow each other closely are due
    `quiet` seconds after the last of them, but at most `longest` after the first."""

    def __init__(self, quiet: float, longest: float) -> None:
        self._quiet = quiet
        self._longest = longest
        self._first: float | None = None
        self._last: float | None = None
        self._due: float | None = None

    @property
    def due(self) -> float | None:
        """When to act; None when nothing has happened since the last time."""
        return self._due

    @property
    def waiting_since(self) -> float | None:
        """The first event that has not been acted upon."""
        return self._first

    def event(self, now: float) -> None:
        """Something has changed."""
        lone = self._first is None and (self._last is None or now - self._last >= self._quiet)
        self._first = now if self._first is None else self._first
        self._last = now
        self._due = now if lone else min(now + self._quiet, self._first + self._longest)

    def taken(self) -> None:
        """Everything so far is being acted upon."""
        self._first = None
        self._due = None
