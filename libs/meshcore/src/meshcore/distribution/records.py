"""What one message of the bucket `mesh-config` says: a config object at a revision, or the head of a change set.

Objects are canonical JSON (sorted keys, no spaces), carried byte for byte, so that every holder computes the same
digest. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from meshcore.distribution.digest import object_digest

MAX_RECORD_BYTES = 900_000
"""What fits into one NATS message (1 MiB) with room for its subject and headers."""


class RecordError(ValueError):
    """A message that is not a record or head, or whose bytes are not what its digest says."""


def canonical_json(document: Mapping[str, Any]) -> bytes:
    """The one spelling of a document: sorted keys, no spaces, UTF-8."""
    return msgspec.json.encode(document, order="sorted")


@dataclass(frozen=True, slots=True)
class ConfigRecord:
    """One normalised object at the revision that last changed it, or its tombstone."""

    store: str
    """Id of the store that the revision counts in."""
    revision: int
    digest: str
    """`object_digest` of key, revision and body; a tombstone's is not part of any set."""
    traceparent: str
    commit_time: datetime
    deleted: bool
    body: bytes
    """Canonical JSON of the normalised object; of a tombstone `{}`."""

    @property
    def object(self) -> dict[str, Any]:
        """The normalised object, a fresh copy at each call; empty for a tombstone."""
        document: dict[str, Any] = msgspec.json.decode(self.body)
        return document


@dataclass(frozen=True, slots=True)
class Head:
    """Says that a revision is complete: written after all of its keys, and repeated while nothing changes. When several
    revisions wait to be published, the newest takes the others with it."""

    store: str
    fencing: int
    """Number of the publisher's lease; a lower one than seen before is refused."""
    revision: int
    previous: int
    """The published revision before this one, 0 for the first."""
    keys: tuple[str, ...]
    """Bucket keys that the revisions after the previous one wrote, up to this one."""
    digest: str
    """`SetDigest` of every published object at this revision."""
    traceparent: str
    commit_time: datetime


class _WireRecord(msgspec.Struct, rename={"commit_time": "committed"}):
    store: str
    revision: int
    digest: str
    traceparent: str
    commit_time: datetime
    deleted: bool
    object: msgspec.Raw


class _WireHead(msgspec.Struct, rename={"commit_time": "committed"}):
    store: str
    fencing: int
    revision: int
    previous: int
    keys: tuple[str, ...]
    digest: str
    traceparent: str
    commit_time: datetime


_RECORDS = msgspec.json.Decoder(_WireRecord)
_HEADS = msgspec.json.Decoder(_WireHead)


def make_record(
    kv_key: str, store: str, revision: int, document: Mapping[str, Any] | None, traceparent: str, commit_time: datetime
) -> ConfigRecord:
    """The record of an object, or of its deletion when `document` is None."""
    body = b"{}" if document is None else canonical_json(document)
    digest = object_digest(kv_key, revision, body)
    return ConfigRecord(store, revision, digest, traceparent, commit_time, document is None, body)


def encode_record(record: ConfigRecord) -> bytes:
    """The record's message."""
    return msgspec.json.encode(
        _WireRecord(
            record.store,
            record.revision,
            record.digest,
            record.traceparent,
            record.commit_time,
            record.deleted,
            msgspec.Raw(record.body),
        )
    )


def decode_record(kv_key: str, data: bytes) -> ConfigRecord:
    """The record in a message; RecordError when it is malformed or its digest does not fit key, revision and body."""
    try:
        wire = _RECORDS.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RecordError(f"the record of {kv_key} is malformed: {error}") from None
    body = bytes(wire.object)
    if object_digest(kv_key, wire.revision, body) != wire.digest:
        raise RecordError(f"the record of {kv_key} at revision {wire.revision} does not have the digest it names")
    return ConfigRecord(wire.store, wire.revision, wire.digest, wire.traceparent, wire.commit_time, wire.deleted, body)


def encode_head(head: Head) -> bytes:
    """The head's message."""
    return msgspec.json.encode(
        _WireHead(
            head.store,
            head.fencing,
            head.revision,
            head.previous,
            head.keys,
            head.digest,
            head.traceparent,
            head.commit_time,
        )
    )


def decode_head(data: bytes) -> Head:
    """The head in a message; RecordError when it is malformed."""
    try:
        wire = _HEADS.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RecordError(f"the head is malformed: {error}") from None
    if not 0 <= wire.previous < max(wire.revision, 1):
        raise RecordError(f"the head of revision {wire.revision} cannot follow revision {wire.previous}")
    return Head(
        wire.store,
        wire.fencing,
        wire.revision,
        wire.previous,
        wire.keys,
        wire.digest,
        wire.traceparent,
        wire.commit_time,
    )
