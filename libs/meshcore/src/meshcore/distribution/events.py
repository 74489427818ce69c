"""What a consumer of config sees: the whole state first, then change sets, each applied whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from meshcore.distribution.keys import Key
from meshcore.distribution.records import ConfigRecord


@dataclass(frozen=True, slots=True)
class FullState:
    """Every published object at one revision.

    Comes first, and again whenever revisions cannot be compared with what came before: after the state from disk when
    the store behind it is another one.
    """

    store: str
    revision: int
    digest: str
    entries: Mapping[Key, ConfigRecord]
    from_disk: bool = False
    """True: the last copy of an earlier run, shown because NATS or Galley is away; the truth follows."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a change set did to one object."""

    key: Key
    record: ConfigRecord
    """The new record; of a deletion a tombstone."""
    previous: ConfigRecord | None
    """The record that this consumer had before, None if it had none."""

    @property
    def deleted(self) -> bool:
        """Whether the object is gone."""
        return self.record.deleted

    @property
    def object(self) -> dict[str, Any] | None:
        """The normalised object, None when it is gone; a fresh copy at each call."""
        return None if self.record.deleted else self.record.object


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """The step from revision `previous` to `revision`, whole. It may cover several of Galley's revisions when this
    consumer could not see each of them alone (a reconnect, a key overwritten in between)."""

    store: str
    revision: int
    previous: int
    traceparent: str
    commit_time: datetime
    """Of the newest revision in it."""
    changes: tuple[Change, ...]
    """Sorted by key; may be empty."""


@dataclass(frozen=True, slots=True)
class Relist:
    """The buffered messages cannot lead to the truth: ask Galley for the whole list."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A head of a publisher that has lost its lease, or of a store that was left."""

    reason: str


Output = FullState | ChangeSet | Relist | Refused
