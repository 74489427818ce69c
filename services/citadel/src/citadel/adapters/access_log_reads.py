"""Reads the access log: by caller, verdict and policy, from the newest back or from a place on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.http.lists import Page
from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from citadel.adapters.access_tables import access_record, access_reporter

_LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for; an empty text or None asks for everything.

    `principal` is the caller's SPIFFE id, with or without `spiffe://`; `policy` is `<namespace>/<name>` or the name.
    """

    principal: str = ""
    verdict: str = ""
    policy: str = ""
    reporter: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def access_page(engine: AsyncEngine, wanted: Wanted, limit: int, after: str | None) -> Page[dict[str, Any]]:
    """Records, the newest first."""
    query = _matching(wanted)
    if after:
        query = query.where(access_record.c.id < position(after))
    rows = await _rows(engine, query.order_by(access_record.c.id.desc()).limit(limit + 1))
    return Page(items=rows[:limit], continue_=str(rows[limit - 1]["id"]) if len(rows) > limit else None)


async def access_behind(engine: AsyncEngine, wanted: Wanted, limit: int, behind: int) -> Page[dict[str, Any]]:
    """Records stored after that one, the oldest first; there is always a position to go on from, for who follows."""
    query = _matching(wanted).where(access_record.c.id > behind).order_by(access_record.c.id).limit(limit)
    rows = await _rows(engine, query)
    return Page(items=rows, continue_=str(rows[-1]["id"] if rows else behind))


async def reporters(engine: AsyncEngine, limit: int, after: str | None) -> Page[dict[str, Any]]:
    """Who reports, by identity."""
    query = select(access_reporter).order_by(access_reporter.c.reporter).limit(limit + 1)
    if after:
        query = query.where(access_reporter.c.reporter > after)
    rows = await _rows(engine, query)
    return Page(items=rows[:limit], continue_=rows[limit - 1]["reporter"] if len(rows) > limit else None)


def position(text: str) -> int:
    """The `id` in a position; INVALID for anything else."""
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= _LARGEST_ID and len(text) < 20):
        raise MeshError(ErrorCode.INVALID, "continue is not a position that this API gave out")
    return int(text)


def _matching(wanted: Wanted) -> Select[Any]:
    column = access_record.c
    query = select(access_record)
    if wanted.principal:
        query = query.where(column.principal == f"spiffe://{wanted.principal.removeprefix('spiffe://')}")
    if wanted.verdict:
        query = query.where(column.verdict == wanted.verdict)
    if wanted.policy:
        query = query.where(or_(*(_named(one, wanted.policy) for one in (column.policy, column.audit_policy))))
    if wanted.reporter:
        query = query.where(column.reporter == f"spiffe://{wanted.reporter.removeprefix('spiffe://')}")
    if wanted.since is not None:
        query = query.where(column.received_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(column.received_at < wanted.until)
    return query


def _named(column: Any, policy: str) -> Any:
    return column == policy if "/" in policy else column.endswith(f"/{policy}", autoescape=True)


async def _rows(engine: AsyncEngine, query: Select[Any]) -> list[dict[str, Any]]:
    async with engine.connect() as connection:
        return [dict(row) for row in (await connection.execute(query)).mappings()]
