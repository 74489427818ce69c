"""When work is done that nobody waits for: while there is nothing else to do, or when it has waited long enough.

Pure.
"""

LONGEST = 60.0
"""Seconds that it waits at most."""


class Leisure:
    """Work that comes up again and again; `now` is in seconds of a monotonic clock."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._since: float | None = None

    def comes(self, *, busy: bool, now: float) -> bool:
        """Whether the work that there is may go on now."""
        if self._since is None:
            self._since = now
        return not busy or now - self._since >= self._longest

    def done(self) -> None:
        """There is none left."""
        self._since = None
