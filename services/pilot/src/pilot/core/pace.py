"""Where the time of a push goes: in the queue, in compiling, in writing, or in the client, which acknowledges. Pure.

A push is one from its oldest reason until the client has everything, whatever comes on top of it meanwhile. Times are
seconds of a monotonic clock.
"""

from bisect import bisect_right
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Stage(StrEnum):
    """What a push waits for."""

    QUEUE = "queue"
    """Its turn: the debounce, keys that are being fetched, or the process, which is busy with others."""
    COMPILE = "compile"
    """What this process compiles, be it for others: a turn that does not come for that is not late by itself."""
    SEND = "send"
    """The client, to take what is written to it."""
    ACK = "ack"


NO_TIME: Mapping[Stage, float] = MappingProxyType({})
"""Of what was no push."""


_KEPT = 1000
"""Compiles that are remembered one by one."""


class CompileLog:
    """When this process compiled. It does nothing else meanwhile, so whoever waits for a turn waits for that."""

    def __init__(self) -> None:
        self._ends: list[float] = []
        self._spent_before: list[float] = []
        self._spent = 0.0

    def note(self, began: float, ended: float) -> None:
        """Something was compiled."""
        self._ends.append(ended)
        self._spent_before.append(self._spent)
        self._spent += ended - began
        if len(self._ends) >= 2 * _KEPT:
            del self._ends[:_KEPT], self._spent_before[:_KEPT]

    def seconds_since(self, start: float, now: float) -> float:
        """How much of the time since then went into compiling."""
        first = bisect_right(self._ends, start)
        return min(self._spent - self._spent_before[first], now - start) if first < len(self._ends) else 0.0


class Pace:
    """The time of one stream's push by stage."""

    __slots__ = ("_since", "_spent", "stage")

    def __init__(self) -> None:
        self.stage: Stage | None = None
        """Where it is; None while there is no push."""
        self._since = 0.0
        self._spent: dict[Stage, float] = {}

    def enters(self, stage: Stage, now: float) -> None:
        """The next stage begins; the first one begins the push."""
        if self.stage is None:
            self._spent = {}
        else:
            self._spent[self.stage] = self._spent.get(self.stage, 0.0) + now - self._since
        self.stage, self._since = stage, now

    def begins(self, queued_at: float, taken_at: float, compiled_at: float) -> None:
        """What was queued is taken out and compiled: it goes to be sent, whatever was on its way before."""
        if self.stage is None:
            self._spent = {Stage.QUEUE: taken_at - queued_at, Stage.COMPILE: compiled_at - taken_at}
            self.stage, self._since = Stage.SEND, compiled_at
        else:
            self.enters(Stage.COMPILE, taken_at)
            self.enters(Stage.SEND, compiled_at)

    def spent(self, now: float) -> Mapping[Stage, float]:
        """The seconds by stage so far; nothing while there is no push."""
        if self.stage is None:
            return NO_TIME
        return {**self._spent, self.stage: self._spent.get(self.stage, 0.0) + now - self._since}

    def ends(self) -> None:
        """The client has everything."""
        self.stage = None
