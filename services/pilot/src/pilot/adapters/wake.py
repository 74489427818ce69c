"""What a stream's only task waits for: something to do, or a time."""

import asyncio
import time


class Wake:
    """One waiter. The timer of a wait stays for the next one: nearly all waits of a stream end at the same time."""

    __slots__ = ("_timer", "_until", "_waiter", "_woken")

    def __init__(self) -> None:
        self._woken = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until: float | None = None

    def set(self) -> None:
        """There is something to do."""
        self._woken = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, until: float) -> None:
        """Return once it was set since the last wait, at `until` (seconds of the monotonic clock) at the latest."""
        if not self._woken:
            loop = asyncio.get_running_loop()
            if until != self._until:
                self.close()
                self._until = until
                self._timer = loop.call_later(max(0.0, until - time.monotonic()), self._rang)
            self._waiter = loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._woken = False

    def close(self) -> None:
        """Nobody waits any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._until = None

    def _rang(self) -> None:
        self._timer = self._until = None
        self.set()
