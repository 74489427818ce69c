"""A model of a store with its publisher: what each revision is, and the records and heads that stand for it."""

from __future__ import annotations

from datetime import UTC, datetime

from meshcore.distribution.digest import SetDigest
from meshcore.distribution.keys import kv_key
from meshcore.distribution.records import ConfigRecord, Head, make_record
from meshcore.distribution.state_copy import StateCopy

NOW = datetime(2026, 3, 1, tzinfo=UTC)


KEYS = [kv_key("g", "things", "ns", name) for name in "abcde"]


class ModelStore:
    """Every state that was ever published, by revision; what a head of each revision says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.states: dict[int, dict[str, ConfigRecord]] = {0: {}}
        self.written: dict[int, tuple[int, dict[str, ConfigRecord]]] = {0: (0, {})}
        self.revision = 0

    def commit(self, revision: int, edits: dict[str, int | None]) -> None:
        state = dict(self.states[self.revision])
        records = {
            key: make_record(key, self.name, revision, None if value is None else {"v": value}, "", NOW)
            for key, value in edits.items()
        }
        for key, record in records.items():
            if record.deleted:
                state.pop(key, None)
            else:
                state[key] = record
        self.states[revision] = state
        self.written[revision] = (self.revision, records)
        self.revision = revision

    def head(self, revision: int, fencing: int) -> Head:
        previous, records = self.written[revision]
        return Head(self.name, fencing, revision, previous, tuple(records), self.digest(revision), "", NOW)

    def step(self, published: int, most: int, fencing: int) -> list[tuple[str, ConfigRecord] | Head]:
        """What a publisher writes: the last records of at most so many revisions after the published one, and a
        head."""
        revisions = sorted(number for number in self.written if number > published)[:most]
        records: dict[str, ConfigRecord] = {}
        for number in revisions:
            records |= self.written[number][1]
        newest = revisions[-1]
        head = Head(self.name, fencing, newest, published, tuple(records), self.digest(newest), "", NOW)
        return [*records.items(), head]

    def digest(self, revision: int) -> str:
        total = SetDigest()
        for record in self.states[revision].values():
            total.add(record.digest)
        return str(total)

    def copy(self, fencing: int) -> StateCopy:
        state = self.states[self.revision]
        return StateCopy(self.name, fencing, self.revision, self.digest(self.revision), state)
