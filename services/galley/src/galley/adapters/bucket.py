"""Galley's side of the bucket `mesh-config`: the only one that writes it."""

from __future__ import annotations

from dataclasses import dataclass

from meshcore.bus.connection import Bus
from meshcore.bus.subjects import CONFIG_BUCKET
from meshcore.bus.watch import BucketEntry, BucketWatch, Mark
from meshcore.distribution.keys import HEAD_KEY
from meshcore.distribution.records import Head, decode_head, encode_head
from nats.js.api import Header, KeyValueConfig, StorageType
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, BucketNotFoundError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

LIST_TIMEOUT = 10.0
_WRONG_LAST_SEQUENCE = (10071, 10164)
"""The server's two codes for one refusal: with the sequence that it has, and without."""


@dataclass(frozen=True, slots=True)
class HeadEntry:
    """The head in the bucket, and its sequence there (0 when there is none)."""

    head: Head | None
    sequence: int


class ConfigBucket:
    """Reads and writes by key; heads by compare-and-set, so that two publishers notice each other."""

    def __init__(self, bus: Bus, stream: JetStreamContext, values: KeyValue) -> None:
        self._bus = bus
        self._stream = stream
        self._values = values

    @classmethod
    async def open(cls, bus: Bus, replicas: int = 1) -> ConfigBucket:
        """The bucket, made if it is not there."""
        stream = bus.jetstream()
        try:
            values = await stream.key_value(CONFIG_BUCKET)
        except BucketNotFoundError:
            config = KeyValueConfig(bucket=CONFIG_BUCKET, history=1, storage=StorageType.FILE, replicas=replicas)
            values = await stream.create_key_value(config)
        return cls(bus, stream, values)

    async def head(self) -> HeadEntry:
        """The head as the bucket has it now; RecordError when it is not a head."""
        try:
            entry = await self._values.get(HEAD_KEY)
        except KeyNotFoundError as missing:
            return HeadEntry(None, (missing.entry.revision or 0) if missing.entry is not None else 0)
        return HeadEntry(decode_head(entry.value or b""), entry.revision or 0)

    async def list(self) -> dict[str, bytes]:
        """Every message of the bucket by key, without the head."""
        found: dict[str, bytes] = {}
        async with BucketWatch(self._bus, CONFIG_BUCKET) as watch:
            while True:
                item = await watch.next(LIST_TIMEOUT)
                if item is Mark.LISTED:
                    return found
                if not isinstance(item, BucketEntry):
                    raise TimeoutError("the bucket could not be listed")
                if item.value is None:
                    found.pop(item.key, None)
                elif item.key != HEAD_KEY:
                    found[item.key] = item.value

    async def put(self, key: str, message: bytes) -> None:
        """Write one record; returns when JetStream has acknowledged it."""
        await self._values.put(key, message)

    async def send(self, key: str, message: bytes) -> None:
        """Write one record without waiting for an answer: the head behind it tells whether it is there."""
        await self._bus.client.publish(_subject(key), message)

    async def put_head(self, head: Head, sequence: int, behind: int | None = None) -> int:
        """Write the head over the one at `sequence`, KeyWrongLastSequenceError if it is another; the new sequence.
        `behind` is the sequence of the last message of any key before it, if it must be that one."""
        expected = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(sequence)}
        if behind is not None:
            expected[Header.EXPECTED_LAST_SEQUENCE] = str(behind)
        try:
            written = await self._stream.publish(_subject(HEAD_KEY), encode_head(head), headers=expected)
        except APIError as error:
            if error.err_code in _WRONG_LAST_SEQUENCE:
                raise KeyWrongLastSequenceError(error.description) from None
            raise
        return int(written.seq)

    async def purge(self, key: str) -> None:
        """Drop a key and its past; the mark of it goes by itself."""
        await self._values.purge(key, msg_ttl=60)


def _subject(key: str) -> str:
    return f"$KV.{CONFIG_BUCKET}.{key}"
