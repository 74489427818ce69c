"""Waiting for what can be observed, and traffic that runs meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from meshctl.adapters.traffic import Reply, Traffic

DEADLINE = 60.0
Value = TypeVar("Value")


def wait_until(what: str, look: Callable[[], Value], seconds: float = DEADLINE) -> Value:
    """The first true value of `look`; fails naming `what` when there is none until the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = look()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; last seen: {value!r}"
        threading.Event().wait(0.05)


class BackgroundTraffic:
    """Steady traffic from a thread of its own; every reply is kept."""

    def __init__(self, proxy: str, url: str, rate: float, headers: Mapping[str, str] | None = None) -> None:
        self.replies: list[Reply] = []
        self._arguments = (proxy, url, rate, headers)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="traffic")
        self._task: asyncio.Task[None] | None = None

    def _run(self) -> None:
        proxy, url, rate, headers = self._arguments

        async def send() -> None:
            traffic = Traffic(proxy, url, rate=rate, connections=16, headers=headers, on_reply=self.replies.append)
            self._task = asyncio.current_task()
            with contextlib.suppress(asyncio.CancelledError):
                await traffic.run()

        with contextlib.closing(self._loop):
            self._loop.run_until_complete(send())

    def __enter__(self) -> BackgroundTraffic:
        self._thread.start()
        wait_until("the first reply", lambda: self.replies)
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def send_more(self, count: int) -> None:
        """Returns when `count` more replies have come."""
        goal = len(self.replies) + count
        wait_until(f"{count} more replies", lambda: len(self.replies) >= goal, 60 + count / 20)

    @property
    def failures(self) -> list[Reply]:
        """Replies other than 200."""
        return [reply for reply in self.replies if not reply.good]

    def assert_no_failure(self) -> None:
        """Fails with the first bad replies."""
        failures = self.failures
        assert not failures, f"{len(failures)} of {len(self.replies)} failed: {failures[:3]}"
