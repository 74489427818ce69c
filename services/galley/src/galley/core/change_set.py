"""Decides what a change set does to the objects it names: all of it, or one error and nothing.

Rules of the Kubernetes API: optimistic preconditions, uid and creationTimestamp once, generation +1 only when something
outside metadata and status changed, no new revision for a write that changes nothing. Pure: revision, time and uids are
arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError

from galley.core.confidential import is_confidential
from galley.core.storage import ChangeType, StoredObject, Verb, WriteOp

SERVER_METADATA = ("uid", "resourceVersion", "generation", "creationTimestamp", "selfLink")


@dataclass(frozen=True, slots=True)
class Effect:
    """What one operation does: the object before and after it, and whether that is a change at all."""

    key: Key
    before: StoredObject | None
    after: StoredObject | None
    type: ChangeType | None
    """None: the write changed nothing."""
    is_config: bool
    """Whether consumers are told: it is published, and something other than status changed."""
    keeps_history: bool

    @property
    def result(self) -> StoredObject:
        """What the writer is answered: the new object, or the deleted one."""
        stored = self.after or self.before
        if stored is None:
            raise ValueError("an effect has an object on one side at least")
        return stored

    def shown(self, revision: int) -> StoredObject:
        """What history and watchers are told: the new object, or the deleted one at the deleting revision."""
        return self.result if self.after is not None else replace(self.result, revision=revision)


def decide(
    operations: Iterable[WriteOp],
    current: Mapping[Key, StoredObject],
    revision: int,
    now: datetime,
    new_uid: Callable[[], str],
) -> tuple[Effect, ...]:
    """The effects of one change set at `revision`; MeshError of the first operation that cannot be done."""
    effects: list[Effect] = []
    seen: set[Key] = set()
    created: set[Key] = set()
    for operation in operations:
        if operation.key in seen:
            raise MeshError(ErrorCode.INVALID, f"{resource_name(operation.key)} is named twice in one change set")
        seen.add(operation.key)
        _check_required(operation, current, created)
        effect = _decide_one(operation, current.get(operation.key), revision, now, new_uid)
        if effect.type is ChangeType.ADDED:
            created.add(operation.key)
        effects.append(effect)
    return tuple(effects)


def resource_name(key: Key) -> str:
    """An object in the words of the API's errors: `virtualservices.networking.istio.io "reviews"`."""
    resource = f"{key.plural}.{key.group}" if key.group else key.plural
    return f'{resource} "{key.name}"'


def missing(key: Key) -> MeshError:
    """The error of an object that is not there."""
    return MeshError(ErrorCode.NOT_FOUND, f"{resource_name(key)} not found")


def conflict(key: Key, reason: str) -> MeshError:
    """The error of a precondition that does not hold, in the API's words."""
    return MeshError(ErrorCode.CONFLICT, f"Operation cannot be fulfilled on {resource_name(key)}: {reason}")


def _check_required(operation: WriteOp, current: Mapping[Key, StoredObject], created: set[Key]) -> None:
    required = operation.requires
    if required is None or required in created:
        return
    if required not in current:
        raise missing(required)
    if "deletionTimestamp" in (current[required].object.get("metadata") or {}):
        raise MeshError(ErrorCode.PERMISSION_DENIED, f"{resource_name(required)} is being terminated")


def _decide_one(
    operation: WriteOp, before: StoredObject | None, revision: int, now: datetime, new_uid: Callable[[], str]
) -> Effect:
    key = operation.key
    if operation.verb is Verb.CREATE:
        if before is not None:
            raise MeshError(ErrorCode.ALREADY_EXISTS, f"{resource_name(key)} already exists")
        after = StoredObject(
            key=key,
            object=_users_part(operation),
            normalised=_published(operation),
            uid=new_uid(),
            generation=1,
            creation_timestamp=now,
            revision=revision,
            config_revision=revision,
            status=operation.status,
        )
        return Effect(key, None, after, ChangeType.ADDED, after.normalised is not None, operation.keeps_history)
    if before is None:
        raise missing(key)
    _check_preconditions(operation, before)
    if operation.verb is Verb.DELETE:
        published = before.normalised is not None
        return Effect(key, before, None, ChangeType.DELETED, published, operation.keeps_history)
    after = _with_status(operation, before) if operation.verb is Verb.STATUS else _updated(operation, before, revision)
    if after == before:
        return Effect(key, before, before, None, is_config=False, keeps_history=False)
    is_config = after.published_status != before.published_status
    if operation.verb is Verb.UPDATE:
        is_config = after.normalised is not None or before.normalised is not None
    elif is_config:
        after = replace(after, config_revision=revision)
    keeps_history = operation.keeps_history and operation.verb is Verb.UPDATE
    return Effect(key, before, replace(after, revision=revision), ChangeType.MODIFIED, is_config, keeps_history)


def _check_preconditions(operation: WriteOp, before: StoredObject) -> None:
    if operation.uid is not None and operation.uid != before.uid:
        raise conflict(
            operation.key,
            f"Precondition failed: UID in precondition: {operation.uid}, UID in object meta: {before.uid}",
        )
    if operation.resource_version is not None and operation.resource_version != before.resource_version:
        raise conflict(
            operation.key,
            "the object has been modified; please apply your changes to the latest version and try again",
        )


def _updated(operation: WriteOp, before: StoredObject, revision: int) -> StoredObject:
    document = _users_part(operation)
    normalised = _published(operation)
    if document == before.object and normalised == before.normalised:
        return before
    changed = _outside_metadata(document) != _outside_metadata(before.object)
    return replace(
        before,
        object=document,
        normalised=normalised,
        generation=before.generation + changed,
        config_revision=revision,
    )


def _published(operation: WriteOp) -> Mapping[str, Any] | None:
    """What consumers get; of confidential objects never anything."""
    return None if is_confidential(operation.key) else operation.normalised


def _with_status(operation: WriteOp, before: StoredObject) -> StoredObject:
    return replace(before, status=operation.status)


def _users_part(operation: WriteOp) -> dict[str, Any]:
    """What the user wrote, without what only the server may set."""
    if operation.object is None:
        raise ValueError(f"{operation.verb} of {operation.key} without an object")
    document = {name: value for name, value in operation.object.items() if name != "status"}
    metadata = dict(document.get("metadata") or {})
    for name in SERVER_METADATA:
        metadata.pop(name, None)
    metadata["name"] = operation.key.name
    if operation.key.namespace:
        metadata["namespace"] = operation.key.namespace
    document["metadata"] = metadata
    return document


def _outside_metadata(document: Mapping[str, Any]) -> dict[str, Any]:
    """What counts for the generation; the API version is only a spelling of the same object."""
    return {name: value for name, value in document.items() if name not in ("metadata", "status", "apiVersion")}
