"""One SQL transaction that carries several change sets: the revision counter's lock, decisions, rows, outbox, audit.

The counter's row is locked first and written last, so the order of commits is the order of revisions, on PostgreSQL
too. Each change set keeps its own outcome: one that is refused leaves nothing behind but its audit row.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from meshcore.distribution.digest import SetDigest
from meshcore.distribution.keys import Key
from meshcore.distribution.records import MAX_RECORD_BYTES, Head, encode_record, make_record
from meshcore.errors import ErrorCode, MeshError
from sqlalchemy import Connection, Insert, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from galley.adapters.store import tables
from galley.adapters.store.pending import Commit
from galley.adapters.store.rows import (
    change_set_row,
    from_text,
    history_row,
    key_text,
    labels_of,
    object_row,
    publicly,
    reveal,
    stored_object,
    to_microseconds,
)
from galley.core.change_set import Effect, decide, resource_name
from galley.core.confidential import is_confidential
from galley.core.publishing import MAX_KEYS_BYTES, Unpublished
from galley.core.sealing import Vault, no_vault
from galley.core.storage import ChangeSet, StoredChange, StoredObject, WriteOp, WriteResult

_KEYS_PER_QUERY = 500
_LOCKED_META = select(tables.meta).with_for_update()
_COUNT = update(tables.meta)
_NAMED_OBJECTS = select(tables.objects).where(tables.objects.c.key.in_(bindparam("keys", expanding=True)))


@dataclass(frozen=True, slots=True)
class Request:
    """One change set that somebody wants written."""

    operations: tuple[WriteOp, ...]
    author: str
    traceparent: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: a result or an error, and what is new if there is a new revision."""

    result: WriteResult | None = None
    error: MeshError | None = None
    commit: Commit | None = None


@dataclass(slots=True)
class _Rows:
    """What the transaction will write."""

    vault: Vault | None
    objects: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    change_sets: list[dict[str, Any]] = field(default_factory=list)
    outbox: list[dict[str, Any]] = field(default_factory=list)
    audit: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class _Counters:
    """The meta row while the transaction runs."""

    store_id: str
    revision: int
    config_revision: int
    digest: SetDigest


def run_requests(
    requests: Sequence[Request], clock: Callable[[], datetime], vault: Vault | None, connection: Connection
) -> list[Outcome]:
    """Decide and write all requests in order; outcomes in the same order. The caller commits."""
    meta = connection.execute(_LOCKED_META).mappings().one()
    counters = _Counters(meta["store_id"], meta["revision"], meta["config_revision"], SetDigest(meta["config_digest"]))
    current, digests = _load(connection, requests, vault)
    rows = _Rows(vault)
    outcomes = [_run_one(request, current, digests, counters, rows, clock()) for request in requests]
    _write(connection, rows)
    counted = {
        "revision": counters.revision,
        "config_revision": counters.config_revision,
        "config_digest": str(counters.digest),
    }
    connection.execute(_COUNT, counted)
    return outcomes


def _load(
    connection: Connection, requests: Iterable[Request], vault: Vault | None
) -> tuple[dict[Key, StoredObject], dict[str, str]]:
    """Every object that the requests name or require, and the digests of their published records by key."""
    wanted = {key_text(key) for request in requests for key in _named(request)}
    current: dict[Key, StoredObject] = {}
    digests: dict[str, str] = {}
    for chunk in _chunks(sorted(wanted), _KEYS_PER_QUERY):
        found = connection.execute(_NAMED_OBJECTS, {"keys": chunk})
        for row in found.mappings():
            stored = reveal(stored_object(row), vault)
            current[stored.key] = stored
            if row["record_digest"] is not None:
                digests[row["key"]] = row["record_digest"]
    return current, digests


def _named(request: Request) -> Iterator[Key]:
    for operation in request.operations:
        yield operation.key
        if operation.requires is not None:
            yield operation.requires


def _run_one(
    request: Request,
    current: dict[Key, StoredObject],
    digests: dict[str, str],
    counters: _Counters,
    rows: _Rows,
    now: datetime,
) -> Outcome:
    revision = counters.revision + 1
    try:
        if rows.vault is None and any(is_confidential(operation.key) for operation in request.operations):
            raise no_vault()
        effects = decide(request.operations, current, revision, now, lambda: str(uuid.uuid4()))
        records = _records(effects, counters.store_id, revision, request.traceparent, now)
    except MeshError as error:
        rows.audit.append(_audit_row(request, now, None, str(error.code)))
        return Outcome(error=error)
    results = tuple(effect.result for effect in effects)
    changed = [effect for effect in effects if effect.type is not None]
    if not changed:
        rows.audit.append(_audit_row(request, now, counters.revision, "unchanged"))
        return Outcome(WriteResult(counters.revision, now, results))
    counters.revision = revision
    for effect in changed:
        _remember(effect, current)
    _publish(records, digests, counters, rows)
    changes = _change_rows(changed, revision, digests, rows)
    head = Head(
        store=counters.store_id,
        fencing=0,
        revision=revision,
        previous=counters.config_revision,
        keys=tuple(key for key, _, _ in records),
        digest=str(counters.digest),
        traceparent=request.traceparent,
        commit_time=now,
    )
    rows.change_sets.append(change_set_row(head, request.author))
    unpublished = None
    if records:
        counters.config_revision = revision
        unpublished = _unpublished(head, records)
    rows.audit.append(_audit_row(request, now, revision, "committed"))
    change_set = ChangeSet(revision, now, request.author, request.traceparent, changes, bool(records))
    return Outcome(WriteResult(revision, now, results), commit=Commit(change_set, unpublished))


def _remember(effect: Effect, current: dict[Key, StoredObject]) -> None:
    """Later requests of the same transaction see this one's effect."""
    if effect.after is None:
        current.pop(effect.key)
    else:
        current[effect.key] = effect.after


def _records(
    effects: Iterable[Effect], store_id: str, revision: int, traceparent: str, now: datetime
) -> list[tuple[str, bytes, str | None]]:
    """Key, message and digest (None for a tombstone) of everything that consumers must hear of."""
    records: list[tuple[str, bytes, str | None]] = []
    names = 0
    for effect in effects:
        if not effect.is_config:
            continue
        key = key_text(effect.key)
        after = effect.after
        document = None if after is None or after.normalised is None else after.normalised_document()
        record = make_record(key, store_id, revision, document, traceparent, now)
        message = encode_record(record)
        names += len(key) + 3
        if len(message) > MAX_RECORD_BYTES:
            raise MeshError(ErrorCode.TOO_LARGE, f"{resource_name(effect.key)} takes over {MAX_RECORD_BYTES} bytes")
        records.append((key, message, None if record.deleted else record.digest))
    if names > MAX_KEYS_BYTES:
        raise MeshError(ErrorCode.TOO_LARGE, f"one change set cannot hold {len(records)} objects")
    return records


def _publish(
    records: Iterable[tuple[str, bytes, str | None]], digests: dict[str, str], counters: _Counters, rows: _Rows
) -> None:
    """Bring the set's digest up to date and fill the outbox."""
    for key, message, digest in records:
        if (old := digests.pop(key, None)) is not None:
            counters.digest.remove(old)
        if digest is not None:
            counters.digest.add(digest)
            digests[key] = digest
        rows.outbox.append({"revision": counters.revision, "key": key, "record": message, "deleted": digest is None})


def _unpublished(head: Head, records: Iterable[tuple[str, bytes, str | None]]) -> Unpublished:
    """What the publisher would read of the outbox."""
    in_order = sorted(records)
    messages = tuple((key, message) for key, message, _ in in_order)
    return Unpublished(head, messages, tuple(key for key, _, digest in in_order if digest is None))


def _change_rows(
    changed: Sequence[Effect], revision: int, digests: dict[str, str], rows: _Rows
) -> tuple[StoredChange, ...]:
    changes: list[StoredChange] = []
    for ordinal, effect in enumerate(changed):
        if effect.type is None:
            continue
        key = key_text(effect.key)
        row = None if effect.after is None else object_row(effect.after, digests.get(key), rows.vault)
        rows.objects[key] = row
        shown = publicly(effect.shown(revision))
        if row is not None and is_confidential(effect.key):
            shown = replace(shown, object=from_text(row["object"]))  # with the digest of its content
        rows.history.append(history_row(effect, revision, ordinal, shown.object))
        previous_labels = None if effect.before is None else labels_of(effect.before)
        changes.append(StoredChange(effect.type, shown, previous_labels))
    return tuple(changes)


def _audit_row(request: Request, now: datetime, revision: int | None, outcome: str) -> dict[str, Any]:
    operations = [{"verb": str(operation.verb), "key": key_text(operation.key)} for operation in request.operations]
    return {
        "at": to_microseconds(now),
        "author": request.author,
        "traceparent": request.traceparent,
        "revision": revision,
        "outcome": outcome,
        "operations": msgspec.json.encode(operations).decode(),
    }


def _write(connection: Connection, rows: _Rows) -> None:
    gone = [{"gone": key} for key, row in rows.objects.items() if row is None]
    if gone:
        connection.execute(delete(tables.objects).where(tables.objects.c.key == bindparam("gone")), gone)
    kept = [row for row in rows.objects.values() if row is not None]
    if kept:
        connection.execute(_upsert(connection.dialect.name), kept)
    for table, new in (
        (tables.history, rows.history),
        (tables.change_sets, rows.change_sets),
        (tables.outbox, rows.outbox),
        (tables.audit, rows.audit),
    ):
        if new:
            connection.execute(_insert(table), new)


@cache
def _insert(table: Table) -> Insert:
    return insert(table)


@cache
def _upsert(dialect: str) -> Insert:
    make = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = make(tables.objects)
    changed = {column.name: statement.excluded[column.name] for column in tables.objects.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=[tables.objects.c.key], set_=changed)


def _chunks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
