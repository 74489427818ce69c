"""Whose handshake goes on next. All have as much time as everything else: a thousand of them at once make those who are
there wait twice as long and no longer, and those who are there do not keep them out."""

import asyncio
from collections import deque
from time import monotonic
from typing import Protocol

LEAST, MOST = 0.002, 0.1
"""Seconds that handshakes have before everything else that is ready has its time."""


class Shaking(Protocol):
    """A connection whose handshake can go on."""

    def take_turn(self) -> None:
        """Let it go on by a step."""


class Handshakes:
    """Connections whose handshakes can go on, in the order of their turns."""

    def __init__(self) -> None:
        self._waiting: deque[Shaking] = deque()
        self._others_since = 0.0

    def wants(self, one: Shaking) -> None:
        """This one can go on."""
        if not self._waiting:
            self._let_others()
        self._waiting.append(one)

    def _let_others(self) -> None:
        self._others_since = monotonic()
        asyncio.get_running_loop().call_soon(self._go)

    def _go(self) -> None:
        now = monotonic()
        until = now + min(max(now - self._others_since, LEAST), MOST)
        try:
            self._waiting.popleft().take_turn()
            while self._waiting and monotonic() < until:
                self._waiting.popleft().take_turn()
        finally:
            if self._waiting:
                self._let_others()
