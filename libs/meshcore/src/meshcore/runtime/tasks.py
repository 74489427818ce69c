"""The one place where tasks are made.

A task made by `asyncio.create_task` alone can be collected while it runs, and its failure is seen by nobody. Here each
task has a name, is referenced until it ends, and an unexpected end is logged.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

_T = TypeVar("_T")
_log = structlog.get_logger("tasks")
_running: set[asyncio.Task[Any]] = set()

FIRST_BACKOFF = 0.1
LAST_BACKOFF = 10.0
SETTLED_AFTER = 5.0
"""Seconds: the first and longest pause before a restart, and how long a run must last to be called healthy again."""


def create_task(coroutine: Coroutine[Any, Any, _T], *, name: str) -> asyncio.Task[_T]:
    """Start `coroutine` in the running loop under `name`; a failure nobody awaits is logged."""
    task = asyncio.get_running_loop().create_task(coroutine, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task failed", task=task.get_name(), exc_info=error)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and wait until they have ended, whatever they raise."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def background(coroutine: Coroutine[Any, Any, Any], *, name: str) -> AsyncIterator[asyncio.Task[Any]]:
    """Run `coroutine` for as long as the block lasts, then cancel it."""
    task = create_task(coroutine, name=name)
    try:
        yield task
    finally:
        await cancel(task)


async def restarting(name: str, run: Callable[[], Awaitable[Any]], report: Callable[[bool, str], None]) -> None:
    """Await `run()` again and again until cancelled, with a growing pause after each end.

    `report(False, reason)` is called when it ends, `report(True, "")` once a later run has lasted `SETTLED_AFTER`
    seconds. A normal return counts as an end too: what may end is not started with this.
    """
    loop = asyncio.get_running_loop()
    backoff = FIRST_BACKOFF
    failed = False
    while True:
        started = loop.time()
        settled = loop.call_later(SETTLED_AFTER, report, True, "") if failed else None
        try:
            await run()
            reason = "ended"
        except Exception as error:  # noqa: BLE001 - any failure of a part is answered by a restart
            reason = type(error).__name__
            _log.error("task failed, restarting", task=name, backoff=backoff, exc_info=error)
        finally:
            if settled is not None:
                settled.cancel()
        failed = True
        report(False, reason)
        if loop.time() - started > SETTLED_AFTER:
            backoff = FIRST_BACKOFF
        await asyncio.sleep(backoff * random.uniform(0.8, 1.2))  # noqa: S311 - spreads restarts, not a secret
        backoff = min(backoff * 2, LAST_BACKOFF)
