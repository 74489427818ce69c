"""Whose turn it is to take its push: changes of endpoints first, then config, class by class. Where endpoints change
faster than they can be pushed, config has a quarter of the time.

Who takes a push compiles for its class, unless that was done. If all were told at once, all classes would be compiled
before another socket is read: events, acknowledgements and heartbeats would wait for the last of them.
"""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable

TOGETHER = 64
"""Streams that are told in one pass of the event loop: ACKs of the first come while the last are being sent to."""
WORK = 0.01
"""Seconds of pushing after which everything else has its turn."""
PASSES = 8
"""Passes of the event loop that such a turn lasts: from a socket to the engine an event goes through several tasks."""
PATIENCE = 0.25
"""Seconds that a lane waits for those before it, which may never be empty: then it has its part of the time."""
OTHERS = 3
"""How much more time than such a lane took those before it have until it comes again."""


class Turns:
    """`tell` is called with the number of a stream when its turn has come; the lanes (`pilot.core.lanes`) come one
    before the other."""

    def __init__(self, lanes: int, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._lanes: list[dict[Hashable, dict[int, None]]] = [{} for _ in range(lanes)]
        """By class, the streams whose turn has yet to come."""
        self._waiting: list[set[int]] = [set() for _ in range(lanes)]
        self._overdue = [0.0] * lanes
        """From when on a lane comes although those before it are not empty."""
        self._going = False
        self._passes = 0
        """For how many passes nobody is told."""

    def line_up(self, lane: int, streams: Iterable[tuple[int, Hashable]]) -> None:
        """These streams have something to take, each with its class."""
        waiting = self._waiting[lane]
        if not waiting:
            self._overdue[lane] = max(self._overdue[lane], time.monotonic() + PATIENCE)
        for number, one in streams:
            if number not in waiting:
                waiting.add(number)
                self._lanes[lane].setdefault(one, {})[number] = None
        if waiting and not self._going:
            self._going = True
            asyncio.get_running_loop().call_soon(self._go)

    def waits(self, lane: int, number: int) -> bool:
        """Whether the stream's turn has yet to come."""
        return number in self._waiting[lane]

    def _go(self) -> None:
        """Tell the next ones, until it is time for everything else."""
        self._going = any(self._waiting)
        if not self._going:
            return
        asyncio.get_running_loop().call_soon(self._go)
        if self._passes:
            self._passes -= 1
            return
        began, told = time.monotonic(), 0
        while told < TOGETHER and (count := self._tell_class(TOGETHER - told)):
            told += count
            if time.monotonic() - began >= WORK:
                self._passes = PASSES
                return

    def _tell_class(self, most: int) -> int:
        """Tell streams of the class that is next; how many."""
        began = time.monotonic()
        waiting = [lane for lane, numbers in enumerate(self._waiting) if numbers]
        if not waiting:
            return 0
        lane = next((one for one in waiting[1:] if self._overdue[one] <= began), waiting[0])
        classes = self._lanes[lane]
        one, numbers = next(iter(classes.items()))
        told = list(numbers)[:most]
        # Who comes in while this class is told, and it may be all of it, comes after the other classes.
        del classes[one]
        for number in told:
            del numbers[number]
        if numbers:
            classes[one] = numbers
        self._waiting[lane].difference_update(told)
        for number in told:
            self._tell(number)
        ended = time.monotonic()
        self._overdue[lane] = max(self._overdue[lane], ended + OTHERS * (ended - began))
        return len(told)
