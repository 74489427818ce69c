"""What the admin API reads and answers."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from meshcore.http import Problem
from pydantic import BaseModel, Field

from galley.core.analysis.message import Message
from galley.core.storage import ChangeSet, HistoryEntry, StoredObject


class ObjectKey(BaseModel):
    """What names one object; the core group and cluster scope are empty."""

    group: str
    plural: str
    namespace: str
    name: str

    @classmethod
    def of(cls, stored: StoredObject) -> "ObjectKey":
        """The key of a stored object."""
        return cls(**stored.key._asdict())


class ObjectRevision(BaseModel):
    """One revision of one object."""

    revision: int
    type: str = Field(examples=["MODIFIED"])
    author: str
    commit_time: datetime
    object: dict[str, Any]

    @classmethod
    def of(cls, entry: HistoryEntry) -> "ObjectRevision":
        """An entry of an object's history."""
        return cls(
            revision=entry.revision,
            type=entry.type.value,
            author=entry.author,
            commit_time=entry.commit_time,
            object=entry.object.document(),
        )


class Change(BaseModel):
    """One object of a change."""

    type: str
    key: ObjectKey


class ChangeSummary(BaseModel):
    """One revision of the whole store."""

    revision: int
    author: str
    commit_time: datetime
    traceparent: str
    published: bool
    changes: list[Change]

    @classmethod
    def of(cls, change_set: ChangeSet) -> "ChangeSummary":
        """A change set without its objects."""
        return cls(
            revision=change_set.revision,
            author=change_set.author,
            commit_time=change_set.commit_time,
            traceparent=change_set.traceparent,
            published=change_set.is_config,
            changes=[
                Change(type=change.type.value, key=ObjectKey(**change.key._asdict())) for change in change_set.changes
            ],
        )


class Rollback(BaseModel):
    """Which revision to go back to."""

    revision: int = Field(ge=1)


class RolledBack(BaseModel):
    """What a rollback of the store did; `revision` is the new one, or the present one when nothing differed."""

    revision: int
    to: int
    created: int
    updated: int
    deleted: int


class Operation(StrEnum):
    """What a change set does to one object; `apply` creates or replaces."""

    APPLY = "apply"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class RequestedChange(BaseModel):
    """One object of a change set; a DELETE needs only apiVersion, kind, name and namespace."""

    operation: Operation = Operation.APPLY
    object: dict[str, Any]


class RequestedChangeSet(BaseModel):
    """Several objects, all or nothing."""

    changes: list[RequestedChange] = Field(min_length=1, max_length=1000)
    dry_run: bool = False


class CommittedObject(BaseModel):
    """What became of one object of a change set."""

    key: ObjectKey
    operation: Operation
    resource_version: str


class FindingFix(BaseModel):
    """How to mend what a finding is about; `patch` (RFC 6902) is for its object; empty: somebody has to choose."""

    description: str
    patch: list[dict[str, Any]] = []


class Finding(BaseModel):
    """One message of analysis."""

    code: str = Field(examples=["IST0101"])
    level: str = Field(examples=["Error"])
    origin: str = Field(examples=["VirtualService shop/reviews"])
    message: str
    documentation_url: str
    fix: FindingFix | None = None

    @classmethod
    def of(cls, message: Message) -> "Finding":
        """A message of analysis as the API answers it."""
        fix = None
        if message.fix is not None:
            patch = [dict(operation) for operation in message.fix.patch]
            fix = FindingFix(description=message.fix.description, patch=patch)
        return cls(
            code=message.type.code,
            level=message.type.level.label,
            origin=message.origin,
            message=message.text,
            documentation_url=message.documentation_url,
            fix=fix,
        )


class ReachedProxies(BaseModel):
    """Pilot's answer, without the proxies of namespaces that the caller may not see."""

    revision: int
    """The config revision that the answer is laid over."""
    proxies: int
    """Proxies that are connected."""
    consequences: list[dict[str, Any]]
    """One entry for each different outcome: `proxies`, `resources` (what becomes of each, by field), `problems`."""
    hidden: int
    """Proxies that would be reached in namespaces that the caller may not see."""
    instances_missing: list[str]


class Consequences(BaseModel):
    """What a dry run foresees, with the change laid over the live config."""

    findings: list[Finding]
    """About the objects of the change, and whatever else is not said of the config now; worst first."""
    resolved: list[Finding]
    """Said of the config now, and no more after the change."""
    proxies: ReachedProxies | None = None
    """What the change would send to whom."""
    proxies_not_known: str | None = None
    """Why the proxies that the change would reach are not named."""


class RefusedDryRun(Problem):
    """A dry run with violations: what analysis says comes with them."""

    what_if: Consequences | None = None


class CommittedChangeSet(BaseModel):
    """The outcome of a change set; of a dry run `revision` is the one that it would have been."""

    revision: int
    dry_run: bool
    commit_time: datetime | None
    objects: list[CommittedObject]
    warnings: list[str]
    what_if: Consequences | None = None
    """Of a dry run."""


class AuditRecord(BaseModel):
    """One write that was tried."""

    number: int
    time: datetime
    author: str
    traceparent: str
    revision: int | None
    outcome: str
    operations: list[dict[str, str]]
