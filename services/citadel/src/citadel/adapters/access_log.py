"""The access log: batches of records from agents, appended to SQL and forgotten by age and by number.

Batches that arrive together share one commit. What cannot be taken is refused at once: an agent keeps it, bounded, and
counts what it must drop, and no request waits for any of this.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from citadel.adapters import telemetry
from citadel.adapters.access_tables import access_batch, access_record, access_reporter

LARGEST_COMMIT = 1000
QUEUE_LIMIT = 128
SENT_AGAIN_WITHIN = timedelta(days=1)
"""Records after which a commit takes no further batch, batches that wait for theirs, and how long a batch is known when
it comes again."""
_FORGOTTEN_AT_ONCE = 2000
"""Rows of one transaction; no fewer than a commit can add, or the log would outgrow its bound."""
_SWEEP_EVERY = 600.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked records of one reporter; `lost` is what its agent had to drop before them."""

    reporter: str
    batch_id: str
    rows: Sequence[dict[str, Any]]
    lost: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class _Entry:
    batch: Batch
    durable: asyncio.Future[int]


class AccessLog:
    """Appends and forgets; `run` and `sweep_for_ever` belong into the service's task group."""

    def __init__(self, engine: AsyncEngine, *, retention: timedelta, most_rows: int) -> None:
        self._engine = engine
        self._retention = retention
        self._most_rows = most_rows
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue(QUEUE_LIMIT)

    async def append(self, batch: Batch) -> int:
        """Return how many records were stored once they are durable, 0 for a batch that was there already.

        UNAVAILABLE when they cannot be written, RESOURCE_EXHAUSTED when too many wait.
        """
        durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Entry(batch, durable))
        except asyncio.QueueFull:
            raise MeshError(ErrorCode.RESOURCE_EXHAUSTED, "too many access records wait to be stored") from None
        return await durable

    async def run(self) -> None:
        """Write what is appended until cancelled."""
        while True:
            entries = [await self._queue.get()]
            while sum(len(entry.batch.rows) for entry in entries) < LARGEST_COMMIT and not self._queue.empty():
                entries.append(self._queue.get_nowait())
            begun = monotonic()
            try:
                stored = await self._commit([entry.batch for entry in entries])
            except (SQLAlchemyError, OSError) as error:
                telemetry.ACCESS_STORE_FAILURES.inc()
                failure = MeshError(ErrorCode.UNAVAILABLE, f"the access log is not writable: {type(error).__name__}")
                for entry in entries:
                    if not entry.durable.done():
                        entry.durable.set_exception(failure)
            else:
                for entry, count in zip(entries, stored, strict=True):
                    if not entry.durable.done():
                        entry.durable.set_result(count)
            # SQLite has one writer and no queue for it: the ledger of certificates finds a gap as long as the commit.
            await asyncio.sleep(monotonic() - begun)

    async def sweep_for_ever(self) -> None:
        """Forget what is too old, now and then."""
        while True:
            try:
                await self.forget(datetime.now(UTC))
            except (SQLAlchemyError, OSError):
                telemetry.ACCESS_STORE_FAILURES.inc()
            await asyncio.sleep(_SWEEP_EVERY)

    async def forget(self, now: datetime) -> int:
        """Delete records older than the retention, and those beyond the most rows; returns how many.

        In small transactions, so that nobody who issues a certificate meanwhile waits for long.
        """
        gone = 0
        begun = monotonic()
        while count := await self._forget_some(now - self._retention):
            gone += count
            await asyncio.sleep(monotonic() - begun)
            begun = monotonic()
        async with self._engine.begin() as connection:
            await connection.execute(delete(access_batch).where(access_batch.c.received_at < now - SENT_AGAIN_WITHIN))
            await connection.execute(
                delete(access_reporter).where(access_reporter.c.reported_at < now - self._retention)
            )
        return gone

    async def _forget_some(self, before: datetime) -> int:
        async with self._engine.begin() as connection:
            old = select(access_record.c.id).where(access_record.c.received_at < before)
            aged = await _delete(connection, old.order_by(access_record.c.received_at), "age")
            return aged + await self._forget_excess(connection)

    async def _forget_excess(self, connection: AsyncConnection) -> int:
        newest = await connection.scalar(select(func.max(access_record.c.id)))
        if newest is None or newest <= self._most_rows:
            return 0
        excess = select(access_record.c.id).where(access_record.c.id <= newest - self._most_rows)
        return await _delete(connection, excess.order_by(access_record.c.id), "rows")

    async def _commit(self, batches: Sequence[Batch]) -> list[int]:
        async with self._engine.begin() as connection:
            stored = [await self._append(connection, batch) for batch in batches]
            await self._forget_excess(connection)
        telemetry.ACCESS_STORED.inc(sum(stored))
        return stored

    async def _append(self, connection: AsyncConnection, batch: Batch) -> int:
        key = {"reporter": batch.reporter, "batch_id": batch.batch_id, "received_at": batch.received_at}
        if (await connection.execute(self._unless_there(access_batch).values(key))).rowcount == 0:
            return 0
        if batch.rows:
            await connection.execute(insert(access_record), list(batch.rows))
        first = {"reporter": batch.reporter, "reported_at": batch.received_at, "records": 0, "lost": 0}
        await connection.execute(self._unless_there(access_reporter).values(first))
        await connection.execute(
            update(access_reporter)
            .where(access_reporter.c.reporter == batch.reporter)
            .values(
                reported_at=batch.received_at,
                records=access_reporter.c.records + len(batch.rows),
                lost=access_reporter.c.lost + batch.lost,
            )
        )
        if batch.lost:
            telemetry.ACCESS_LOST.inc(batch.lost)
        return len(batch.rows)

    def _unless_there(self, table: Any) -> Any:
        dialect = sqlite if self._engine.dialect.name == "sqlite" else postgresql
        return dialect.insert(table).on_conflict_do_nothing()


async def _delete(connection: AsyncConnection, which: Any, reason: str) -> int:
    few = which.limit(_FORGOTTEN_AT_ONCE)
    gone = (await connection.execute(delete(access_record).where(access_record.c.id.in_(few)))).rowcount
    telemetry.ACCESS_FORGOTTEN.labels(reason).inc(gone)
    return int(gone)
