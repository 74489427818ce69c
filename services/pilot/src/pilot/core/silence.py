"""How long a worker has been silent by its own doing, and when that is too long. Pure: seconds of a monotonic clock.

A worker that hangs keeps its share of new connections, since the kernel knows nothing of it. It is told from one that
could not answer by who asks: while the asker itself was late (the machine slept, or had no processor for it), nothing
counts.
"""

LATE = 0.5
"""Seconds that a look may take beyond what it should, and count all the same."""


class Silence:
    """Of one process, from its start. `longest` is the seconds of silence that it may have; 0 sets no bound."""

    def __init__(self, longest: float, now: float) -> None:
        self._longest = longest
        self._at = now
        self._has_answered = False
        self.seconds = 0.0
        """Silence since its last answer, as far as it counts."""

    def answered(self, now: float) -> None:
        """It has answered a look."""
        self._at, self._has_answered, self.seconds = now, True, 0.0

    def missed(self, now: float, within: float) -> bool:
        """It has not answered a look that was to end within so many seconds of the one before: whether it has been
        silent for too long. One that has never answered is starting, and has no connections yet."""
        passed, self._at = now - self._at, now
        if self._has_answered and passed <= within + LATE:
            self.seconds += passed
        return 0 < self._longest < self.seconds
