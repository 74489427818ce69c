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
PATIENCE = 0.25
"""Seconds that a line waits for those before it, which may never be empty: then it has its part of the time."""
OTHERS = 3
"""How much more time than such a line took those before it have until it comes again."""
PASSES = 8
"""Passes of the event loop that this takes: from a socket to the engine an event goes through several tasks."""


class Turns:
    """`tell` is called with the number of a stream when its turn has come; the lines come one before the other."""

    def __init__(self, lines: int, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._lines: list[dict[Hashable, dict[int, None]]] = [{} for _ in range(lines)]
        self._waiting: list[set[int]] = [set() for _ in range(lines)]
        self._overdue = [0.0] * lines
        """From when on a line comes although those before it are not empty."""
        self._going = False
        self._passes = 0
        """For how many passes nobody is told."""

    def line_up(self, line: int, streams: Iterable[tuple[int, Hashable]]) -> None:
        """These streams have something to take, each with its class."""
        waiting = self._waiting[line]
        if not waiting:
            self._overdue[line] = max(self._overdue[line], time.monotonic() + PATIENCE)
        for number, one in streams:
            if number not in waiting:
                waiting.add(number)
                self._lines[line].setdefault(one, {})[number] = None
        if waiting and not self._going:
            self._going = True
            asyncio.get_running_loop().call_soon(self._go)

    def waits(self, line: int, number: int) -> bool:
        """Whether the stream's turn has yet to come."""
        return number in self._waiting[line]

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
        waiting = [line for line, numbers in enumerate(self._waiting) if numbers]
        if not waiting:
            return 0
        place = next((line for line in waiting[1:] if self._overdue[line] <= began), waiting[0])
        line = self._lines[place]
        one, numbers = next(iter(line.items()))
        told = list(numbers)[:most]
        # Who comes in while this class is told, and it may be all of it, comes after the other classes.
        del line[one]
        for number in told:
            del numbers[number]
        if numbers:
            line[one] = numbers
        self._waiting[place].difference_update(told)
        for number in told:
            self._tell(number)
        ended = time.monotonic()
        self._overdue[place] = max(self._overdue[place], ended + OTHERS * (ended - began))
        return len(told)
