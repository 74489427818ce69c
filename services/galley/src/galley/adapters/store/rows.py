"""Between the rows of the tables and the words of `galley.core.storage`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from meshcore.distribution.keys import Key, kv_key, parse_kv_key
from meshcore.distribution.records import Head
from meshcore.errors import ErrorCode, MeshError

from galley.core.change_set import Effect
from galley.core.confidential import is_confidential, public_part
from galley.core.sealing import Vault, no_vault
from galley.core.storage import ChangeType, StoredChange, StoredObject

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = Mapping[Any, Any]


def to_microseconds(moment: datetime) -> int:
    """A time as the tables keep it."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime:
    """The inverse of `to_microseconds`."""
    return _EPOCH + timedelta(microseconds=count)


def to_text(document: Mapping[str, Any] | None) -> str | None:
    """JSON in the order in which it was written, or NULL."""
    return None if document is None else msgspec.json.encode(document).decode()


def from_text(text: str | None) -> Any:
    """The inverse of `to_text`."""
    return None if text is None else msgspec.json.decode(text)


def object_row(stored: StoredObject, record_digest: str | None, vault: Vault | None) -> dict[str, Any]:
    """The row of an object; the content of a confidential one is encrypted."""
    key = stored.key
    document, sealed = stored.object, stored.sealed
    if is_confidential(key) and sealed is None:
        document, sealed = seal_object(stored, vault)
    return {
        "key": kv_key(*key),
        "api_group": key.group,
        "plural": key.plural,
        "namespace": key.namespace,
        "name": key.name,
        "uid": stored.uid,
        "generation": stored.generation,
        "created": to_microseconds(stored.creation_timestamp),
        "revision": stored.revision,
        "config_revision": stored.config_revision,
        "object": to_text(document),
        "normalised": to_text(stored.normalised),
        "status": to_text(stored.status),
        "record_digest": record_digest,
        "sealed": sealed,
    }


def stored_object(row: Row) -> StoredObject:
    """The object of a row of `objects` or `history`."""
    return StoredObject(
        key=parse_kv_key(row["key"]),
        object=from_text(row["object"]),
        normalised=from_text(row["normalised"]) if "normalised" in row else None,
        uid=row["uid"],
        generation=row["generation"],
        creation_timestamp=from_microseconds(row["created"]),
        revision=row["revision"],
        config_revision=row["config_revision"],
        status=from_text(row["status"]),
        sealed=row.get("sealed"),
    )


def seal_object(stored: StoredObject, vault: Vault | None) -> tuple[dict[str, Any], bytes]:
    """The public part of a confidential object, with a digest, and all of it encrypted."""
    if vault is None:
        raise no_vault()
    plain, purpose = msgspec.json.encode(stored.object), _purpose(stored)
    return public_part(stored.object, vault.digest(plain, purpose)), vault.seal(plain, purpose, os.urandom)


def reveal(stored: StoredObject, vault: Vault | None) -> StoredObject:
    """The object with its content; others as they are. GONE for a past state, whose content is not kept."""
    if not is_confidential(stored.key):
        return stored
    if stored.sealed is None:
        raise MeshError(ErrorCode.GONE, "of a confidential object's past only metadata is kept")
    if vault is None:
        raise no_vault()
    document = msgspec.json.decode(vault.open(stored.sealed, _purpose(stored)))
    return replace(stored, object=document, sealed=None)


def publicly(stored: StoredObject) -> StoredObject:
    """The object without what is confidential in it: for history and for whoever watches."""
    if not is_confidential(stored.key):
        return stored
    return replace(stored, object=public_part(stored.object), sealed=None)


def _purpose(stored: StoredObject) -> str:
    return f"{kv_key(*stored.key)}/{stored.uid}"


def history_row(effect: Effect, revision: int, ordinal: int, public: Mapping[str, Any]) -> dict[str, Any]:
    """The row of one change of a change set; `public` is the document to remember."""
    stored = effect.result
    return {
        "revision": revision,
        "ordinal": ordinal,
        "key": kv_key(*stored.key),
        "type": str(effect.type),
        "lasting": effect.keeps_history,
        "uid": stored.uid,
        "generation": stored.generation,
        "created": to_microseconds(stored.creation_timestamp),
        "config_revision": stored.config_revision,
        "object": to_text(public),
        "status": to_text(stored.status),
        "previous_labels": None if effect.before is None else to_text(labels_of(effect.before)),
    }


def change_set_row(head: Head, author: str) -> dict[str, Any]:
    """The row of a change set; a head without keys is of one that is not published."""
    return {
        "revision": head.revision,
        "author": author,
        "traceparent": head.traceparent,
        "committed": to_microseconds(head.commit_time),
        "is_config": bool(head.keys),
        "previous": head.previous,
        "digest": head.digest,
        "keys": msgspec.json.encode(head.keys).decode(),
    }


def stored_change(row: Row) -> StoredChange:
    """The change of a row of `history`."""
    return StoredChange(ChangeType(row["type"]), stored_object(row), from_text(row["previous_labels"]))


def labels_of(stored: StoredObject) -> Mapping[str, str]:
    """The labels of an object."""
    labels: Mapping[str, str] | None = (stored.object.get("metadata") or {}).get("labels")
    return labels or {}


def key_text(key: Key) -> str:
    """The key as the tables have it."""
    return kv_key(*key)
