"""Group commit: writes that arrive while a transaction runs share the next one, up to 64 of them.

A lone write never waits for company; under load the wait is the transaction before it (an fsync, about a millisecond).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

import structlog
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime.tasks import cancel, create_task
from sqlalchemy.exc import SQLAlchemyError

from galley.adapters.store.database import Database
from galley.adapters.store.pending import Commit
from galley.adapters.store.transaction import Request, run_requests
from galley.core.sealing import Vault
from galley.core.storage import WriteResult

MOST_WRITES = 64

_log = structlog.get_logger("store")

_Waiting = tuple[Request, asyncio.Future[WriteResult]]


class Writer:
    """The only one that writes config; `committed` is called with the new revisions, in order, after each commit."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        committed: Callable[[list[Commit]], None],
        vault: Vault | None,
    ) -> None:
        self._vault = vault
        self._database = database
        self._clock = clock
        self._committed = committed
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._task = create_task(self._run(), name="store-writer")

    async def write(self, request: Request) -> WriteResult:
        """The result once it is committed; a caller that goes away does not undo its write."""
        future: asyncio.Future[WriteResult] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        self._arrived.set()
        return await future

    async def close(self) -> None:
        """End after the running transaction; writes that still wait are refused."""
        await cancel(self._task)
        _refuse(self._waiting, MeshError(ErrorCode.UNAVAILABLE, "the store is closing"))

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            batch = [self._waiting.popleft() for _ in range(min(MOST_WRITES, len(self._waiting)))]
            if not self._waiting:
                self._arrived.clear()
            await self._commit(batch)

    async def _commit(self, batch: list[_Waiting]) -> None:
        requests = [request for request, _ in batch]
        try:
            outcomes = await self._database.write(partial(run_requests, requests, self._clock, self._vault))
        except (SQLAlchemyError, OSError) as error:
            _log.error("write transaction failed", error=type(error).__name__, writes=len(batch))
            _refuse(batch, MeshError(ErrorCode.UNAVAILABLE, "the store could not commit"))
            return
        except asyncio.CancelledError:
            _refuse(batch, MeshError(ErrorCode.UNAVAILABLE, "the store closed before its answer"))
            raise
        except Exception as error:  # noqa: BLE001 - a bug in one write must not end the writer
            if len(batch) == 1:
                _refuse(batch, error)
                return
            for one in batch:
                await self._commit([one])
            return
        self._committed([outcome.commit for outcome in outcomes if outcome.commit is not None])
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if future.done():
                continue
            if outcome.result is not None:
                future.set_result(outcome.result)
            elif outcome.error is not None:
                future.set_exception(outcome.error)


def _refuse(batch: Iterable[_Waiting], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
