"""What the publisher reads of the store: the outbox in order, and the whole published state at one revision."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from meshcore.distribution.records import ConfigRecord, Head, make_record
from sqlalchemy import Connection, delete, select, update

from galley.adapters.store.reads import read_meta
from galley.adapters.store.rows import Row, from_microseconds, stored_object
from galley.adapters.store.tables import change_sets, lease, meta, objects, outbox
from galley.core.publishing import Unpublished

PUBLISHER_LEASE = "publisher"


@dataclass(frozen=True, slots=True)
class PublishedState:
    """Everything that consumers should have, and the head of its revision (without a fencing number); no head:
    nothing yet."""

    store_id: str
    fencing: int
    """Of the present publisher's lease, 0 before the first."""
    head: Head
    records: dict[str, ConfigRecord]


def read_unpublished(connection: Connection, after: int, most: int) -> list[Unpublished]:
    """The published revisions after this one, oldest first, at most so many."""
    store_id = read_meta(connection)["store_id"]
    query = select(change_sets).where(change_sets.c.revision > after, change_sets.c.is_config)
    sets = list(connection.execute(query.order_by(change_sets.c.revision).limit(most)).mappings())
    if not sets:
        return []
    messages: dict[int, list[tuple[str, bytes]]] = {}
    deleted: dict[int, list[str]] = {}
    rows = select(outbox).where(outbox.c.revision > after, outbox.c.revision <= sets[-1]["revision"])
    for row in connection.execute(rows.order_by(outbox.c.revision, outbox.c.key)).mappings():
        messages.setdefault(row["revision"], []).append((row["key"], bytes(row["record"])))
        if row["deleted"]:
            deleted.setdefault(row["revision"], []).append(row["key"])
    return [
        Unpublished(
            _head(store_id, row), tuple(messages.get(row["revision"], ())), tuple(deleted.get(row["revision"], ()))
        )
        for row in sets
    ]


def read_published_state(connection: Connection) -> PublishedState:
    """All published objects at the newest published revision, in one snapshot."""
    counters = read_meta(connection)
    store_id, revision = counters["store_id"], counters["config_revision"]
    newest = connection.execute(select(change_sets).where(change_sets.c.revision == revision))
    row = newest.mappings().one_or_none()
    if row is None:
        head = Head(store_id, 0, revision, 0, (), counters["config_digest"], "", datetime(1970, 1, 1, tzinfo=UTC))
    else:
        head = _head(store_id, row)
    origin = (change_sets.c.traceparent, change_sets.c.committed)
    query = select(objects, *origin).outerjoin(change_sets, change_sets.c.revision == objects.c.config_revision)
    records: dict[str, ConfigRecord] = {}
    for entry in connection.execute(query.where(objects.c.normalised.is_not(None))).mappings():
        stored = stored_object(entry)
        committed = entry["committed"]
        records[entry["key"]] = make_record(
            entry["key"],
            store_id,
            stored.config_revision,
            stored.normalised_document(),
            entry["traceparent"] or "",
            stored.creation_timestamp if committed is None else from_microseconds(committed),
        )
    fencing = connection.scalar(select(lease.c.fencing).where(lease.c.name == PUBLISHER_LEASE))
    return PublishedState(store_id, int(fencing or 0), head, records)


def forget_published(connection: Connection, revision: int) -> None:
    """Drop the outbox up to a revision whose head is written."""
    connection.execute(delete(outbox).where(outbox.c.revision <= revision))


def change_store_id(connection: Connection) -> str:
    """A new id: the store was put back to an older state, so its revisions name other things than consumers know."""
    store_id = uuid.uuid4().hex
    connection.execute(update(meta).values(store_id=store_id))
    connection.execute(delete(outbox))
    return store_id


def _head(store_id: str, row: Row) -> Head:
    return Head(
        store=store_id,
        fencing=0,
        revision=row["revision"],
        previous=row["previous"],
        keys=tuple(msgspec.json.decode(row["keys"])),
        digest=row["digest"],
        traceparent=row["traceparent"],
        commit_time=from_microseconds(row["committed"]),
    )
