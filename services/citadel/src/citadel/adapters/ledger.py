"""The ledger: a row per certificate, committed before the certificate leaves.

Rows that arrive together share one commit, since the commit (an fsync) costs far more than the row.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from meshcore.errors import ErrorCode, MeshError
from meshcore.http.lists import Page
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters.tables import issuance as table
from citadel.core.issuance import IssuedSvid

LARGEST_COMMIT = 256
QUEUE_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class _Entry:
    values: dict[str, Any]
    durable: asyncio.Future[None]


def ledger_row(issued: IssuedSvid, peer: str, now: datetime) -> dict[str, Any]:
    """What is kept of a certificate; nothing of it is secret."""
    template = issued.template
    return {
        "serial": f"{template.serial:032x}",
        "identity": str(template.caller.identity),
        "profile": template.profile.name,
        "proof": template.caller.proof.value,
        "peer": peer[:256],
        "fingerprint": issued.certificate.fingerprint(hashes.SHA256()).hex(),
        "not_before": template.not_before,
        "not_after": template.not_after,
        "issued_at": now,
    }


class Ledger:
    """Appends rows; `run` does the writing and belongs into the service's task group."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue(QUEUE_LIMIT)

    async def append(self, issued: IssuedSvid, peer: str) -> None:
        """Return when the row is durable.

        UNAVAILABLE when it cannot be written, RESOURCE_EXHAUSTED when too many wait.
        """
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Entry(ledger_row(issued, peer, datetime.now(UTC)), durable))
        except asyncio.QueueFull:
            raise MeshError(ErrorCode.RESOURCE_EXHAUSTED, "too many certificates are being issued") from None
        await durable

    async def run(self) -> None:
        """Write what is appended until cancelled."""
        while True:
            entries = [await self._queue.get()]
            while len(entries) < LARGEST_COMMIT and not self._queue.empty():
                entries.append(self._queue.get_nowait())
            try:
                await self._commit([entry.values for entry in entries])
            except (SQLAlchemyError, OSError) as error:
                failure = MeshError(
                    ErrorCode.UNAVAILABLE, f"the issuance ledger is not writable: {type(error).__name__}"
                )
                for entry in entries:
                    if not entry.durable.done():
                        entry.durable.set_exception(failure)
            else:
                for entry in entries:
                    if not entry.durable.done():
                        entry.durable.set_result(None)

    async def _commit(self, rows: list[dict[str, Any]]) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(insert(table), rows)

    async def write(self, issued: IssuedSvid, peer: str) -> None:
        """Append one row in a transaction of its own (`init`, where nothing runs beside it)."""
        await self._commit([ledger_row(issued, peer, datetime.now(UTC))])

    async def page(self, identity: str | None, limit: int, after: str | None) -> Page[dict[str, Any]]:
        """Rows of certificates that are still valid, by serial number, of one identity or of all."""
        query = select(table).where(table.c.not_after > datetime.now(UTC)).order_by(table.c.serial).limit(limit + 1)
        if identity is not None:
            query = query.where(table.c.identity == identity)
        if after:
            query = query.where(table.c.serial > after)
        async with self._engine.connect() as connection:
            rows = [dict(row) for row in (await connection.execute(query)).mappings()]
        more = len(rows) > limit
        return Page(items=rows[:limit], continue_=rows[limit - 1]["serial"] if more else None)

    async def forget(self, older_than: timedelta) -> int:
        """Delete rows of certificates that expired longer ago than that; returns how many."""
        async with self._engine.begin() as connection:
            gone = await connection.execute(delete(table).where(table.c.not_after < datetime.now(UTC) - older_than))
        return int(gone.rowcount)
