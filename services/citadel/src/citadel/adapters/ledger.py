"""The ledger: a row per certificate, committed before the certificate leaves.

Rows that arrive together share one commit, since the commit (an fsync) costs far more than the row.
"""

import asyncio
import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.http.lists import Page
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters.ledger_file import LedgerFile
from citadel.adapters.signers import lock_active
from citadel.adapters.tables import issuance as table
from citadel.core.caller import Proof, serial_text
from citadel.core.issuance import IssuedSvid

LARGEST_COMMIT = 256
QUEUE_LIMIT = 4096
_END_FORMER = update(table).where(table.c.serial == bindparam("former")).values(ended=bindparam("after"))


@dataclass(frozen=True, slots=True)
class _Entry:
    values: dict[str, Any]
    durable: asyncio.Future[None]
    follows: str
    """Serial of the certificate that this one takes the place of; empty for none."""


def ledger_row(issued: IssuedSvid, peer: str, now: datetime) -> dict[str, Any]:
    """What is kept of a certificate; nothing of it is secret."""
    template = issued.template
    return {
        "serial": serial_text(template.serial),
        "identity": str(template.caller.identity),
        "profile": template.profile.name,
        "proof": template.caller.proof.value,
        "peer": peer[:256],
        "fingerprint": hashlib.sha256(issued.der).hexdigest(),
        "signer": issued.signer,
        "bundle": issued.bundle_digest,
        "not_before": template.not_before,
        "not_after": template.not_after,
        "issued_at": now,
    }


def _tell(entry: _Entry, signers: frozenset[str]) -> None:
    if entry.durable.done():
        return
    if entry.values["signer"] in signers:
        entry.durable.set_result(None)
    else:
        entry.durable.set_exception(MeshError(ErrorCode.UNAVAILABLE, "the authority has changed: ask again"))


class Ledger:
    """Appends rows; `run` does the writing and belongs into the service's task group."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue(QUEUE_LIMIT)
        sqlite = engine.dialect.name == "sqlite" and engine.url.database
        self._file = LedgerFile(str(engine.url.database)) if sqlite else None

    async def append(self, issued: IssuedSvid, peer: str) -> None:
        """Return when the row is durable.

        UNAVAILABLE when it cannot be written, RESOURCE_EXHAUSTED when too many wait.
        """
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            row = ledger_row(issued, peer, datetime.now(UTC))
            self._queue.put_nowait(_Entry(row, durable, issued.template.caller.proof_serial))
        except asyncio.QueueFull:
            raise MeshError(ErrorCode.RESOURCE_EXHAUSTED, "too many certificates are being issued") from None
        await durable

    async def run(self) -> None:
        """Write what is appended until cancelled."""
        try:
            await self._write_for_ever()
        finally:
            if self._file is not None:
                self._file.close()

    async def _write_for_ever(self) -> None:
        while True:
            entries = [await self._queue.get()]
            while len(entries) < LARGEST_COMMIT and not self._queue.empty():
                entries.append(self._queue.get_nowait())
            try:
                signed = await self._commit(entries)
            except (SQLAlchemyError, sqlite3.Error, OSError) as error:
                failure = MeshError(
                    ErrorCode.UNAVAILABLE, f"the issuance ledger is not writable: {type(error).__name__}"
                )
                for entry in entries:
                    if not entry.durable.done():
                        entry.durable.set_exception(failure)
            else:
                for entry in entries:
                    _tell(entry, signed)

    async def _commit(self, entries: Sequence[_Entry]) -> frozenset[str]:
        """Write rows in one transaction; only those of signers that may sign, which it returns."""
        if self._file is not None:
            rows = [entry.values for entry in entries]
            ended = [(one.values["serial"], one.follows) for one in entries if one.follows]
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._file.thread, self._file.write, rows, ended)
        async with self._engine.begin() as connection:
            signers = await lock_active(connection, (entry.values["signer"] for entry in entries))
            written = [entry for entry in entries if entry.values["signer"] in signers]
            if written:
                await connection.execute(insert(table), [entry.values for entry in written])
            followed = [{"former": one.follows, "after": one.values["serial"]} for one in written if one.follows]
            if followed:
                await connection.execute(_END_FORMER, followed)
        return signers

    async def write(self, issued: IssuedSvid, peer: str) -> None:
        """Append one row in a transaction of its own (`init`, where nothing runs beside it)."""
        row = ledger_row(issued, peer, datetime.now(UTC))
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = _Entry(row, durable, issued.template.caller.proof_serial)
        async with self._engine.begin() as connection:
            # One directory per service: what `init` made before is replaced by this.
            former = update(table).where(table.c.identity == row["identity"], table.c.proof == Proof.BOOTSTRAP.value)
            await connection.execute(former.where(table.c.ended.is_(None)).values(ended=row["serial"]))
        _tell(entry, await self._commit([entry]))
        if self._file is not None:
            self._file.close()
            self._file = LedgerFile(str(self._engine.url.database))
        await durable

    async def find(self, serial: str) -> dict[str, Any] | None:
        """The row of a certificate, expired or not."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(table).where(table.c.serial == serial))).mappings().one_or_none()
        return None if row is None else dict(row)

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
