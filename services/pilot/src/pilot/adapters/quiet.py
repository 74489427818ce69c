"""What is done once nothing has happened for a while."""

import asyncio
import time
from collections.abc import Callable


class Quiet:
    """Calls `then` after so many seconds in which nothing stirred and nothing was going on."""

    def __init__(self, seconds: float, is_going_on: Callable[[], bool], then: Callable[[], None]) -> None:
        self._seconds = seconds
        self._is_going_on = is_going_on
        self._then = then
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def stirred(self) -> None:
        """Something has happened."""
        self._last = time.monotonic()
        if self._timer is None:
            self._wait(self._seconds)

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._rang)

    def _rang(self) -> None:
        left = self._last + self._seconds - time.monotonic()
        if left > 0 or self._is_going_on():
            self._wait(left if left > 0 else self._seconds)
        else:
            self._timer = None
            self._then()
