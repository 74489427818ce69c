"""What a watch has shown of the bucket so far: the newest record of each key, with the digest of the living ones.
Pure."""

from __future__ import annotations

from collections.abc import Mapping

from meshcore.distribution.digest import SetDigest
from meshcore.distribution.records import ConfigRecord


class BucketView:
    """Mutable, owned by one assembler. An older revision of a key never replaces a newer one of the same store."""

    def __init__(self) -> None:
        self._records: dict[str, ConfigRecord] = {}
        self._digest = SetDigest()
        self.listed = False
        """Whether the watch has shown everything that the bucket held when it began."""

    def put(self, key: str, record: ConfigRecord) -> None:
        """The watch showed this record."""
        known = self._records.get(key)
        if known is not None:
            if known.store == record.store and known.revision >= record.revision:
                return
            self.remove(key)
        self._records[key] = record
        if not record.deleted:
            self._digest.add(record.digest)

    def remove(self, key: str) -> None:
        """The watch showed that the key was purged from the bucket."""
        record = self._records.pop(key, None)
        if record is not None and not record.deleted:
            self._digest.remove(record.digest)

    def get(self, key: str) -> ConfigRecord | None:
        """The newest record of a key, tombstones too."""
        return self._records.get(key)

    def living(self) -> Mapping[str, ConfigRecord]:
        """Every record that is not a tombstone."""
        return {key: record for key, record in self._records.items() if not record.deleted}

    @property
    def digest(self) -> str:
        """The set digest of the living records."""
        return str(self._digest)
