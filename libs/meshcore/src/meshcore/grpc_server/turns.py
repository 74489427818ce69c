"""Whose call is begun next: connections take turns, so that who asks a thousand things at once makes nobody wait."""

import asyncio
from collections import deque
from typing import Protocol

AT_A_TIME = 4
"""Calls that are begun before everything else that is ready has had its time."""


class Asking(Protocol):
    """A connection with calls that have not begun."""

    def take_turn(self) -> bool:
        """Begin one call; whether there are more."""


class Turns:
    """Connections that have calls to begin, in the order of their turns."""

    def __init__(self) -> None:
        self._asking: deque[Asking] = deque()
        self._here: set[Asking] = set()
        self._scheduled = False

    def wants(self, one: Asking) -> None:
        """This one has a call to begin."""
        if one not in self._here:
            self._here.add(one)
            self._asking.append(one)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and self._asking:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._go)

    def _go(self) -> None:
        self._scheduled = False
        for _ in range(min(AT_A_TIME, len(self._asking))):
            one = self._asking.popleft()
            if one.take_turn():
                self._asking.append(one)
            else:
                self._here.discard(one)
        self._schedule()
