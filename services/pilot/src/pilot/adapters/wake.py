"""How a stream learns that there is something to do, and what its only task waits for."""

import asyncio
import time
from collections.abc import Callable


class Wake:
    """One stream's. While its task rests here, what there is to do is done on the spot, by whoever says that there is
    something: to wake a task costs more than most of it. The timer of a rest stays for the next one: nearly all of them
    end at the same time."""

    __slots__ = ("_resting", "_timer", "_until", "_work")

    def __init__(self) -> None:
        self._resting: asyncio.Future[None] | None = None
        self._work: Callable[[float], bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0

    def set(self) -> None:
        """There is something to do. A task that is at work looks for more before it rests."""
        resting, work = self._resting, self._work
        if resting is not None and work is not None and not resting.done():
            self._work = None
            if work(self._until):
                self._work = work
            else:
                resting.set_result(None)

    async def rest(self, until: float, work: Callable[[float], bool]) -> None:
        """Return when `work`, which is called at each `set` with `until`, says that the task has to see to something
        (False), at `until` (seconds of the monotonic clock) at the latest."""
        loop = asyncio.get_running_loop()
        if until != self._until or self._timer is None:
            self.close()
            self._until = until
            self._timer = loop.call_later(max(0.0, until - time.monotonic()), self._rang)
        self._resting = loop.create_future()
        self._work = work
        try:
            await self._resting
        finally:
            self._resting = self._work = None

    def close(self) -> None:
        """Nobody rests any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rang(self) -> None:
        self._timer = None
        if self._resting is not None and not self._resting.done():
            self._resting.set_result(None)
