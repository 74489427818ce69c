"""What must be written to make the bucket say what the store says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshcore.distribution.records import ConfigRecord, RecordError, decode_record


@dataclass(frozen=True, slots=True)
class Repair:
    """Records to put and keys to purge before the head is written."""

    puts: tuple[tuple[str, ConfigRecord], ...]
    """Not encoded yet: after a loss they are all there are, and nobody needs all of their messages at once."""
    purges: tuple[str, ...]
    tombstones: tuple[tuple[str, int], ...]
    """Keys, with the revisions of their deletion, to purge when every consumer has seen it."""


def reconcile(store_id: str, truth: Mapping[str, ConfigRecord], bucket: Mapping[str, bytes]) -> Repair:
    """The difference between the published objects of a store and the messages of the bucket.

    What is not in the truth is purged, so that the bucket is the truth when the head follows. Tombstones of this store
    stay for now: they say no more than the truth, and a consumer that lags may need one to complete a revision whose
    head it has seen.
    """
    puts = tuple((key, record) for key, record in sorted(truth.items()) if not _says(bucket.get(key), key, record))
    purges: list[str] = []
    tombstones: list[tuple[str, int]] = []
    for key in sorted(bucket.keys() - truth.keys()):
        revision = _deletion(bucket[key], key, store_id)
        if revision is None:
            purges.append(key)
        else:
            tombstones.append((key, revision))
    return Repair(puts, tuple(purges), tuple(tombstones))


def _deletion(message: bytes, key: str, store_id: str) -> int | None:
    try:
        found = decode_record(key, message)
    except RecordError:
        return None
    return found.revision if found.deleted and found.store == store_id else None


def _says(message: bytes | None, key: str, record: ConfigRecord) -> bool:
    if message is None:
        return False
    try:
        found = decode_record(key, message)
    except RecordError:
        return False
    return (found.store, found.revision, found.digest, found.deleted) == (
        record.store,
        record.revision,
        record.digest,
        record.deleted,
    )
