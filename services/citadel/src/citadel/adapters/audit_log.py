"""What was done to the authority, and by whom: written in the transaction of the deed, never changed."""

from datetime import UTC, datetime
from typing import Any

from meshcore.http.lists import Page
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from citadel.adapters.tables import audit as table

CITADEL = "citadel"
"""The actor of what Citadel does by itself."""


async def note(connection: AsyncConnection, actor: str, action: str, detail: str = "") -> None:
    """Add a row; `detail` holds nothing secret."""
    values = {"at": datetime.now(UTC), "actor": actor[:256], "action": action, "detail": detail}
    await connection.execute(insert(table), values)


async def audit_page(engine: AsyncEngine, limit: int, before: int | None) -> Page[dict[str, Any]]:
    """Rows, the newest first."""
    query = select(table).order_by(table.c.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(table.c.id < before)
    async with engine.connect() as connection:
        rows = [dict(row) for row in (await connection.execute(query)).mappings()]
    return Page(items=rows[:limit], continue_=str(rows[limit - 1]["id"]) if len(rows) > limit else None)
