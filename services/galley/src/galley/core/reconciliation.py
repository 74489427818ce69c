"""What must be written to make the bucket say what the store says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meshcore.distribution.records import ConfigRecord, RecordError, decode_record, encode_record


@dataclass(frozen=True, slots=True)
class Repair:
    """Messages to put and keys to purge before the head is written."""

    puts: tuple[tuple[str, bytes], ...]
    purges: tuple[str, ...]


def reconcile(truth: Mapping[str, ConfigRecord], bucket: Mapping[str, bytes]) -> Repair:
    """The difference between the published objects of the store and the messages of the bucket.

    Tombstones in the bucket whose objects are gone from the truth are purged too: the head that follows is judged by
    the whole bucket.
    """
    puts = tuple(
        (key, encode_record(record)) for key, record in sorted(truth.items()) if not _says(bucket.get(key), key, record)
    )
    return Repair(puts, tuple(sorted(key for key in bucket if key not in truth)))


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
