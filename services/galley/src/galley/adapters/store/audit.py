"""Reads the audit log: every write that was tried, by whom, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from galley.adapters.store.rows import from_microseconds
from galley.adapters.store.tables import audit


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One attempt; `revision` is None when nothing was committed."""

    number: int
    time: datetime
    author: str
    traceparent: str
    revision: int | None
    outcome: str
    operations: tuple[dict[str, str], ...]
    """Verb and key of each operation; never any content."""


def read_audit(connection: Connection, before: int | None, most: int) -> list[AuditEntry]:
    """The newest entries first, those before a number."""
    query = select(audit).order_by(audit.c.id.desc()).limit(most)
    if before is not None:
        query = query.where(audit.c.id < before)
    return [
        AuditEntry(
            row["id"],
            from_microseconds(row["at"]),
            row["author"],
            row["traceparent"],
            row["revision"],
            row["outcome"],
            tuple(msgspec.json.decode(row["operations"], type=list[dict[str, str]])),
        )
        for row in connection.execute(query).mappings()
    ]
