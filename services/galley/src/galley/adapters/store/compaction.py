"""Forgets what retention no longer asks for, in whole revisions.

Below a floor only the newest row of each key stays, as the base that reads as of a later revision start from.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, delete, exists, func, not_, or_, select, update

from galley.adapters.store.reads import read_meta
from galley.adapters.store.rows import to_microseconds
from galley.adapters.store.tables import change_sets, history, meta, outbox
from galley.core.retention import Floors, Retention, floors
from galley.core.storage import ChangeType


def compact(connection: Connection, retention: Retention, now: datetime) -> Floors:
    """Move the floors and delete what is below them; returns the new floors. The caller commits."""
    counters = read_meta(connection)
    present = Floors(counters["history_floor"], counters["watch_floor"])
    new = floors(
        retention,
        present,
        counters["revision"],
        _newest_before(connection, now - retention.history_age),
        _newest_before(connection, now - retention.watch_age),
        connection.scalar(select(func.min(outbox.c.revision))),
    )
    if new == present:
        return present
    _delete_below(connection, new.history, lasting_too=True)
    _delete_below(connection, new.watch, lasting_too=False)
    without_rows = not_(exists().where(history.c.revision == change_sets.c.revision))
    connection.execute(
        delete(change_sets).where(
            change_sets.c.revision != counters["config_revision"],
            or_(
                and_(change_sets.c.revision <= new.watch, without_rows),
                and_(change_sets.c.revision <= new.history),
            ),
        )
    )
    connection.execute(update(meta).values(history_floor=new.history, watch_floor=new.watch))
    return new


def _newest_before(connection: Connection, moment: datetime) -> int:
    query = select(func.max(change_sets.c.revision)).where(change_sets.c.committed < to_microseconds(moment))
    return int(connection.scalar(query) or 0)


def _delete_below(connection: Connection, floor: int, *, lasting_too: bool) -> None:
    newer = history.alias()
    replaced = exists().where(
        newer.c.key == history.c.key, newer.c.revision > history.c.revision, newer.c.revision <= floor
    )
    dead = history.c.type == ChangeType.DELETED.value
    condition = and_(history.c.revision <= floor, or_(replaced, dead))
    if not lasting_too:
        condition = and_(condition, not_(history.c.lasting))
    connection.execute(delete(history).where(condition))
