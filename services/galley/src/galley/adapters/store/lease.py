"""Leases with fencing numbers: who may publish. A number only grows; whoever holds a lower one is refused by
consumers."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from galley.adapters.store.rows import to_microseconds
from galley.adapters.store.tables import lease


def acquire(
    connection: Connection, name: str, holder: str, now: datetime, length: timedelta, *, alone: bool
) -> int | None:
    """A new fencing number, or None while somebody else holds the lease. `alone`: no other process can be alive
    (SQLite's file lock), so a lease that is not expired belongs to the dead."""
    row = connection.execute(select(lease).where(lease.c.name == name).with_for_update()).mappings().one_or_none()
    expires = to_microseconds(now + length)
    if row is None:
        connection.execute(insert(lease).values(name=name, holder=holder, fencing=1, expires=expires))
        return 1
    if not alone and row["holder"] != holder and row["expires"] > to_microseconds(now):
        return None
    fencing = int(row["fencing"]) + 1
    connection.execute(
        update(lease).where(lease.c.name == name).values(holder=holder, fencing=fencing, expires=expires)
    )
    return fencing


def renew(connection: Connection, name: str, fencing: int, now: datetime, length: timedelta) -> bool:
    """Whether the lease is still this fencing number's, and if so, longer."""
    renewed = connection.execute(
        update(lease)
        .where(lease.c.name == name, lease.c.fencing == fencing)
        .values(expires=to_microseconds(now + length))
    )
    return bool(renewed.rowcount)


def release(connection: Connection, name: str, fencing: int) -> None:
    """Let the next one in at once, if the lease is still ours."""
    connection.execute(update(lease).where(lease.c.name == name, lease.c.fencing == fencing).values(expires=0))
