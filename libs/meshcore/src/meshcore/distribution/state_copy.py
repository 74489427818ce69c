"""A whole state as bytes: the consumer's last copy on disk, and what `mesh.config.list` answers.

The first line is a header, each further line one bucket key, a space and the record's message. The set's digest is
checked when it is read, so a torn copy is never taken for a state. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from meshcore.distribution.digest import SetDigest
from meshcore.distribution.keys import parse_kv_key
from meshcore.distribution.records import ConfigRecord, RecordError, decode_record, encode_record


@dataclass(frozen=True, slots=True)
class StateCopy:
    """Every published object of one store at one revision, by bucket key."""

    store: str
    fencing: int
    revision: int
    digest: str
    records: Mapping[str, ConfigRecord]


class _Header(msgspec.Struct):
    format: int
    store: str
    fencing: int
    revision: int
    digest: str


_FORMAT = 1


def encode_state(state: StateCopy) -> bytes:
    """The bytes of a state, the same for the same state."""
    header = _Header(_FORMAT, state.store, state.fencing, state.revision, state.digest)
    lines = [msgspec.json.encode(header)]
    lines += [key.encode() + b" " + encode_record(record) for key, record in sorted(state.records.items())]
    return b"\n".join(lines)


def decode_state(data: bytes) -> StateCopy:
    """The state in these bytes; RecordError when they are torn, altered or of another format."""
    first, *lines = data.split(b"\n")
    try:
        header = msgspec.json.decode(first, type=_Header)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RecordError(f"the copy has no header: {error}") from None
    if header.format != _FORMAT:
        raise RecordError(f"the copy has format {header.format}, not {_FORMAT}")
    records: dict[str, ConfigRecord] = {}
    total = SetDigest()
    for line in lines:
        key, _, message = line.partition(b" ")
        try:
            name = key.decode("ascii")
            parse_kv_key(name)
        except ValueError:
            raise RecordError("the copy names a key that is none") from None
        record = decode_record(name, message)
        records[name] = record
        total.add(record.digest)
    if str(total) != header.digest:
        raise RecordError(f"the copy of revision {header.revision} does not have the digest it names")
    return StateCopy(header.store, header.fencing, header.revision, header.digest, records)
