"""The words between Galley's config API and its store: what is written, what comes back, what a watcher sees. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from meshcore.distribution.keys import Key

from galley.core.times import time_text


class Verb(StrEnum):
    """What a write does to one object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class WriteOp:
    """One object of a change set."""

    verb: Verb
    key: Key
    object: Mapping[str, Any] | None = field(default=None, repr=False)
    """As the user wrote it. uid, creationTimestamp, generation, resourceVersion and status in it are ignored: they
    are the store's. Needed by CREATE and UPDATE."""
    normalised: Mapping[str, Any] | None = None
    """What consumers get; None means: never published (Secrets)."""
    resource_version: str | None = None
    """Optimistic precondition, the decimal revision the caller read; None: last write wins. Anything else is
    CONFLICT."""
    uid: str | None = None
    """Precondition on the object's uid; another one is CONFLICT."""
    requires: Key | None = None
    """An object that must exist when this commits (its Namespace): without it NOT_FOUND, PERMISSION_DENIED while it is
    going away."""
    keeps_history: bool = True
    """False for endpoints: only the latest is kept, watchers still see each change for a while."""
    status: Mapping[str, Any] | None = None
    """Of a CREATE: what it begins with (a Namespace's `phase: Active`). Of a STATUS write: the new status."""


_SERVICES = ("", "services")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as the store has it at one revision."""

    key: Key
    object: Mapping[str, Any] = field(repr=False)
    """As the user wrote it, without server-set metadata and status; of a confidential object its public part, unless
    the store was asked to reveal it."""
    normalised: Mapping[str, Any] | None
    """None too when this was read from history, which keeps what the user wrote."""
    uid: str
    generation: int
    creation_timestamp: datetime
    revision: int
    """resourceVersion: the revision of its last change of any sort, status too."""
    config_revision: int
    """The revision of its last change that was published."""
    status: Mapping[str, Any] | None = None
    sealed: bytes | None = field(default=None, repr=False, compare=False)
    """The content of a confidential object, encrypted; None when it is revealed, or when this is history."""

    @property
    def resource_version(self) -> str:
        """The revision in the API's spelling."""
        return str(self.revision)

    def document(self) -> dict[str, Any]:
        """The object as the API answers it: what the user wrote, the server's metadata, the status."""
        return stamp(self.object, self, self.status)

    def normalised_document(self) -> dict[str, Any]:
        """The normalised object with the server's metadata, as consumers get it; ValueError when it is not
        published."""
        if self.normalised is None:
            raise ValueError(f"{self.key} is not published")
        return stamp(self.normalised, self, self.published_status, str(self.config_revision))

    @property
    def published_status(self) -> Mapping[str, Any] | None:
        """The part of the status that consumers act on: where a Service's load balancer is reached. No other is
        published."""
        balancer = (self.status or {}).get("loadBalancer") if (self.key.group, self.key.plural) == _SERVICES else None
        return {"loadBalancer": balancer} if balancer else None


def stamp(
    document: Mapping[str, Any], stored: StoredObject, status: Mapping[str, Any] | None, version: str | None = None
) -> dict[str, Any]:
    """A copy of a document with the metadata that only the server may set, and this status or none."""
    result = {name: value for name, value in document.items() if name != "status"}
    metadata = dict(result.get("metadata") or {})
    metadata.update(
        name=stored.key.name,
        uid=stored.uid,
        generation=stored.generation,
        resourceVersion=version or str(stored.revision),
        creationTimestamp=time_text(stored.creation_timestamp),
    )
    if stored.key.namespace:
        metadata["namespace"] = stored.key.namespace
    result["metadata"] = metadata
    if status is not None:
        result["status"] = dict(status)
    return result


class ChangeType(StrEnum):
    """The words of a Kubernetes watch."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class StoredChange:
    """What one revision did to one object."""

    type: ChangeType
    object: StoredObject
    """The object after the change (its revision is this one); of a deletion its last state at the deleting revision."""
    previous_labels: Mapping[str, str] | None
    """Labels before the change, None for a new object: what a watch by label selector needs."""

    @property
    def key(self) -> Key:
        """The key of the object."""
        return self.object.key

    @property
    def document(self) -> dict[str, Any]:
        """The whole API document."""
        return self.object.document()


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """One revision: everything it did, all or nothing."""

    revision: int
    commit_time: datetime
    author: str
    traceparent: str
    changes: tuple[StoredChange, ...]
    is_config: bool
    """False for a status write or anything else that is not published."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The outcome of a change set that was committed."""

    revision: int
    commit_time: datetime
    objects: tuple[StoredObject, ...]
    """In the order of the operations; of a deletion, the object as it was."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, all pages at one revision."""

    items: tuple[StoredObject, ...]
    revision: int
    continue_: str | None
    """Opaque token for the next page, None at the end."""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One revision of one object in its history."""

    revision: int
    type: ChangeType
    author: str
    commit_time: datetime
    object: StoredObject
