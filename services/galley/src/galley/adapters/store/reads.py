"""Reads of the store: each one transaction, so each at one revision."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError
from sqlalchemy import JSON, ColumnElement, Connection, Select, and_, bindparam, cast, func, or_, select, tuple_

from galley.adapters.store.rows import Row, from_microseconds, from_text, key_text, stored_change, stored_object
from galley.adapters.store.tables import change_sets, history, meta, objects
from galley.core.change_set import missing
from galley.core.continue_token import ContinueToken, parse_continue_token
from galley.core.storage import ChangeSet, ChangeType, HistoryEntry, Page, StoredObject


def read_meta(connection: Connection) -> Row:
    """The counters: store_id, revision, config_revision, config_digest, watch_floor, history_floor."""
    return connection.execute(select(meta)).mappings().one()


def read_object(connection: Connection, key: Key, as_of: int | None) -> StoredObject:
    """One object, now or as it was at a revision; NOT_FOUND, or GONE when that revision is compacted."""
    row = connection.execute(select(objects).where(objects.c.key == key_text(key))).mappings().one_or_none()
    if as_of is None or (row is not None and row["revision"] <= as_of):
        if row is None:
            raise missing(key)
        return stored_object(row)
    _check_known(connection, as_of)
    query = select(history).where(history.c.key == key_text(key), history.c.revision <= as_of)
    newest = query.order_by(history.c.revision.desc()).limit(1)
    past = connection.execute(newest).mappings().one_or_none()
    if past is None or past["type"] == ChangeType.DELETED:
        raise missing(key)
    return stored_object(past)


def read_page(
    connection: Connection,
    group: str,
    plural: str,
    namespace: str | None,
    limit: int | None,
    continue_: str | None,
    as_of: int | None,
) -> Page:
    """Objects of one kind by namespace and name, all pages at the revision of the first; GONE when that is
    compacted."""
    counters = read_meta(connection)
    revision = int(counters["revision"])
    after: ContinueToken | None = None
    if continue_:
        after = parse_continue_token(continue_)
        as_of = after.revision
        if as_of < counters["watch_floor"]:
            raise gone(as_of)
    if as_of is None or as_of == revision:
        items = _present(connection, group, plural, namespace, after, None if limit is None else limit + 1)
    else:
        _check_known(connection, as_of)
        revision = as_of
        items = _past(connection, group, plural, namespace, after, as_of)
    if not limit or len(items) <= limit:
        return Page(tuple(items), revision, None)
    last = items[limit - 1].key
    return Page(tuple(items[:limit]), revision, str(ContinueToken(revision, last.namespace, last.name)))


def read_published_for_hosts(
    connection: Connection, group: str, plural: str, namespaces: Sequence[str], hosts: Sequence[str]
) -> list[dict[str, Any]]:
    """The normalised documents of a kind with one of these hosts, or any wildcard: the database looks into them, so
    that one write does not decode all rules of a namespace."""
    wanted = {"group": group, "plural": plural, "namespaces": namespaces, "hosts": hosts}
    return [from_text(text) for text in connection.scalars(_published_for_hosts(connection.dialect.name), wanted)]


@cache
def _published_for_hosts(dialect: str) -> Select[str]:
    if dialect == "sqlite":
        host: ColumnElement[str] = func.json_extract(objects.c.normalised, "$.spec.host")
    else:
        host = cast(objects.c.normalised, JSON)[("spec", "host")].as_string()
    return select(objects.c.normalised).where(
        objects.c.api_group == bindparam("group"),
        objects.c.plural == bindparam("plural"),
        objects.c.namespace.in_(bindparam("namespaces", expanding=True)),
        or_(host.in_(bindparam("hosts", expanding=True)), host.startswith("*")),
    )


def _of_kind(group: str, plural: str, namespace: str | None, after: ContinueToken | None) -> ColumnElement[bool]:
    conditions = [objects.c.api_group == group, objects.c.plural == plural]
    if namespace is not None:
        conditions.append(objects.c.namespace == namespace)
    if after is not None:
        conditions.append(tuple_(objects.c.namespace, objects.c.name) > (after.namespace, after.name))
    return and_(*conditions)


def _present(
    connection: Connection,
    group: str,
    plural: str,
    namespace: str | None,
    after: ContinueToken | None,
    limit: int | None,
) -> list[StoredObject]:
    query = select(objects).where(_of_kind(group, plural, namespace, after))
    query = query.order_by(objects.c.namespace, objects.c.name)
    if limit is not None:
        query = query.limit(limit)
    return [stored_object(row) for row in connection.execute(query).mappings()]


def _past(
    connection: Connection,
    group: str,
    plural: str,
    namespace: str | None,
    after: ContinueToken | None,
    as_of: int,
) -> list[StoredObject]:
    """What has not changed since, from the objects; what has, from the newest history before."""
    unchanged = select(objects).where(_of_kind(group, plural, namespace, after), objects.c.revision <= as_of)
    items = [stored_object(row) for row in connection.execute(unchanged).mappings()]
    prefix = key_text(Key(group, plural, "", "x")).rsplit(".", 2)[0] + "."
    newest = (
        select(history.c.key, func.max(history.c.revision).label("revision"))
        .where(history.c.key.startswith(prefix, autoescape=True), history.c.revision <= as_of)
        .group_by(history.c.key)
        .subquery()
    )
    newer = select(objects.c.key).where(objects.c.key == history.c.key, objects.c.revision <= as_of).exists()
    query: Select[tuple[object, ...]] = select(history).join(
        newest, and_(history.c.key == newest.c.key, history.c.revision == newest.c.revision)
    )
    changed = connection.execute(query.where(~newer)).mappings()
    items += [stored_object(row) for row in changed if row["type"] != ChangeType.DELETED]
    chosen = [
        item
        for item in items
        if (namespace is None or item.key.namespace == namespace)
        and (after is None or (item.key.namespace, item.key.name) > (after.namespace, after.name))
    ]
    return sorted(chosen, key=lambda item: (item.key.namespace.encode(), item.key.name.encode()))


def _check_known(connection: Connection, as_of: int) -> None:
    counters = read_meta(connection)
    if as_of > counters["revision"] or as_of < counters["history_floor"]:
        raise gone(as_of)


def gone(revision: int) -> MeshError:
    """The error of a revision that is compacted, or of another store's."""
    return MeshError(ErrorCode.GONE, f"too old resource version: {revision}")


def read_history(connection: Connection, key: Key) -> tuple[HistoryEntry, ...]:
    """The kept revisions of an object, oldest first; status and endpoints have none."""
    query = (
        select(history, change_sets.c.author, change_sets.c.committed)
        .join(change_sets, change_sets.c.revision == history.c.revision)
        .where(history.c.key == key_text(key), history.c.lasting)
        .order_by(history.c.revision)
    )
    return tuple(
        HistoryEntry(
            row["revision"],
            ChangeType(row["type"]),
            row["author"],
            from_microseconds(row["committed"]),
            stored_object(row),
        )
        for row in connection.execute(query).mappings()
    )


def read_change_sets(connection: Connection, after: int, most: int) -> list[ChangeSet]:
    """The change sets after a revision in order, at most so many; GONE when some of them are compacted."""
    counters = read_meta(connection)
    if after < counters["watch_floor"] or after > counters["revision"]:
        raise gone(after)
    query = select(change_sets).where(change_sets.c.revision > after).order_by(change_sets.c.revision).limit(most)
    sets = list(connection.execute(query).mappings())
    if not sets:
        return []
    between = and_(history.c.revision > after, history.c.revision <= sets[-1]["revision"])
    by_revision: dict[int, list[Row]] = {}
    changes = select(history).where(between).order_by(history.c.revision, history.c.ordinal)
    for row in connection.execute(changes).mappings():
        by_revision.setdefault(row["revision"], []).append(row)
    return [_change_set(row, by_revision.get(row["revision"], ())) for row in sets]


def _change_set(row: Row, changes: Sequence[Row]) -> ChangeSet:
    return ChangeSet(
        row["revision"],
        from_microseconds(row["committed"]),
        row["author"],
        row["traceparent"],
        tuple(stored_change(change) for change in changes),
        row["is_config"],
    )
