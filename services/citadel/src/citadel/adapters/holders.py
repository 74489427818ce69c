"""Receipts of the trust bundle in SQL: who follows it, and which one each has acknowledged last.

Streams note what they see in memory; `run` writes it, many holders in one transaction.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from citadel.adapters.root_store import utc
from citadel.adapters.tables import holder as table
from citadel.adapters.tables import issuance
from citadel.core.rotation import RELEASED, Holder, Leaf

HEARTBEAT = 30.0
GATHER = 0.05
LARGEST_WRITE = 500
"""Seconds between notes of open streams, seconds that news wait for others, holders in one transaction."""
_log = structlog.get_logger("holders")
_Key = tuple[str, str]


@dataclass(slots=True)
class _News:
    serial: str
    signer: str
    not_after: datetime
    bundle: str | None = None
    connected: bool = True
    released: bool = False


class Holders:
    """`run` belongs into the service's task group; what it could not write yet is kept and written later."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._open: dict[_Key, tuple[object, _News]] = {}
        self._pending: dict[_Key, _News] = {}
        self._news = asyncio.Event()

    def arrived(self, identity: str, node: str, serial: str, signer: str, not_after: datetime) -> object:
        """A stream has begun; gives what `acknowledged` and `left` are to be called with."""
        key, stream = (identity, node), object()
        news = _News(serial, signer, not_after)
        self._open[key] = (stream, news)
        self._note(key, news)
        return stream

    def acknowledged(self, identity: str, node: str, stream: object, bundle: str) -> None:
        """The holder of this stream uses the bundle of that digest."""
        current = self._open.get((identity, node))
        if current is not None and current[0] is stream:
            current[1].bundle = bundle
            self._note((identity, node), current[1])

    def left(self, identity: str, node: str, stream: object, *, released: bool) -> None:
        """The stream has ended; `released` when the holder said that it will not present its certificate again.

        The end of a stream that another has followed says nothing.
        """
        key = (identity, node)
        current = self._open.get(key)
        if current is None or current[0] is not stream:
            return
        del self._open[key]
        current[1].connected, current[1].released = False, released
        self._note(key, current[1])

    def _note(self, key: _Key, news: _News) -> None:
        self._pending[key] = news
        self._news.set()

    async def run(self) -> None:
        """Write news soon, and every open stream each half minute."""
        loop = asyncio.get_running_loop()
        beat = loop.time() + HEARTBEAT
        while True:
            try:
                async with asyncio.timeout_at(beat):
                    await self._news.wait()
                await asyncio.sleep(GATHER)
            except TimeoutError:
                beat = loop.time() + HEARTBEAT
                self._pending |= {key: news for key, (_, news) in self._open.items()}
            self._news.clear()
            await self._flush()

    async def _flush(self) -> None:
        while self._pending:
            batch = dict(list(self._pending.items())[:LARGEST_WRITE])
            for key in batch:
                del self._pending[key]
            try:
                async with self._engine.begin() as connection:
                    await _write(connection, batch)
            except (SQLAlchemyError, OSError) as error:
                _log.warning("receipts not written yet", error=type(error).__name__, holders=len(batch))
                self._pending = batch | self._pending
                await asyncio.sleep(1)

    async def forget(self, older_than: timedelta) -> int:
        """Delete holders that are away and whose certificate expired longer ago than that."""
        before = datetime.now(UTC) - older_than
        async with self._engine.begin() as connection:
            here = (table.c.not_after < before) & (table.c.seen_at < before) & table.c.connected.is_(False)
            gone = await connection.execute(delete(table).where(here))
        return int(gone.rowcount)


async def _write(connection: AsyncConnection, batch: Mapping[_Key, _News]) -> None:
    now = datetime.now(UTC)
    identities = sorted({identity for identity, _ in batch})
    known = select(table.c.identity, table.c.node, table.c.serial).where(table.c.identity.in_(identities))
    serials = {(row.identity, row.node): row.serial for row in await connection.execute(known)}
    kept = {}
    for key, news in batch.items():
        serial = serials.get(key, news.serial)
        if not news.connected and serial != news.serial:
            continue  # another replica has seen the holder come with another certificate since
        here = (table.c.identity == key[0]) & (table.c.node == key[1])
        if news.released:
            await connection.execute(_ended(news.serial, RELEASED))
            await connection.execute(delete(table).where(here))
            continue
        if serial != news.serial:
            # Once its holder has another certificate nobody presents the former one any more.
            await connection.execute(_ended(serial, news.serial))
        kept[key] = news
    if not kept:
        return
    rows = [
        {
            "identity": key[0],
            "node": key[1],
            "bundle": news.bundle or "",
            "serial": news.serial,
            "signer": news.signer,
            "not_after": news.not_after,
            "connected": news.connected,
            "seen_at": now,
        }
        for key, news in kept.items()
    ]
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    excluded = statement.excluded
    changes = {name: excluded[name] for name in ("serial", "signer", "not_after", "connected", "seen_at", "bundle")}
    for row in rows:
        # A holder that has said nothing yet on this stream is known by what it said on the one before.
        values = changes if row["bundle"] else {name: item for name, item in changes.items() if name != "bundle"}
        await connection.execute(statement.on_conflict_do_update(index_elements=["identity", "node"], set_=values), row)


def _ended(serial: str, by: str) -> Any:
    return update(issuance).where(issuance.c.serial == serial).values(ended=by)


async def read_holders(connection: AsyncConnection) -> tuple[Holder, ...]:
    """Every holder that is known."""
    rows = (await connection.execute(select(table).order_by(table.c.identity, table.c.node))).all()
    return tuple(
        Holder(
            row.identity,
            row.node,
            row.bundle,
            row.serial,
            row.signer,
            utc(row.not_after),
            row.connected,
            utc(row.seen_at),
        )
        for row in rows
    )


async def read_leaves(connection: AsyncConnection, now: datetime, but: Sequence[str] = ()) -> tuple[Leaf, ...]:
    """Certificates of the ledger that may be in use, but those of these signers."""
    query = select(issuance).where(
        issuance.c.not_after > now, issuance.c.ended.is_(None), issuance.c.signer.not_in(but)
    )
    rows = (await connection.execute(query)).all()
    return tuple(
        Leaf(row.identity, row.serial, row.signer, row.bundle, row.profile, utc(row.not_after)) for row in rows
    )
