"""Change sets: several objects in one revision, all or nothing."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.http import Caller, Role, caller_of
from meshcore.model.kinds import KindInfo, by_kind
from meshcore.runtime.telemetry import current_traceparent

from galley.adapters.admin.models import (
    CommittedChangeSet,
    CommittedObject,
    ObjectKey,
    Operation,
    RequestedChange,
    RequestedChangeSet,
)
from galley.adapters.config_api import namespaces, references
from galley.adapters.config_api.calls import Backend
from galley.core.admission import admit
from galley.core.apply.documents import manager_at, manager_of, with_updated
from galley.core.change_set import decide
from galley.core.kinds import rules_of
from galley.core.kube_api import metadata
from galley.core.kube_api.paths import ResourcePath
from galley.core.kube_api.query import FieldValidation
from galley.core.storage import StoredObject, Verb, WriteOp


def changesets_router(backend: Backend) -> APIRouter:
    """`POST /api/v1/changesets`."""
    router = APIRouter(tags=["changesets"])

    @router.post("/api/v1/changesets")
    async def apply_changeset(request: Request, body: RequestedChangeSet) -> CommittedChangeSet:
        """Check every object, then write all of them as one revision, or none with every violation of all."""
        caller = caller_of(request)
        current = await _current(backend, [_key_of(change, caller) for change in body.changes])
        manager = manager_of("", request.headers.get("user-agent", ""))
        operations, warnings = await _operations(backend, body.changes, current, manager)
        user, traceparent = caller.user, current_traceparent()
        if body.dry_run:
            revision = await backend.store.revision() + 1
            effects = decide(operations, current, revision, backend.clock(), lambda: str(uuid.uuid4()))
            objects: Sequence[StoredObject] = [effect.result for effect in effects]
            commit_time = None
        else:
            result = await backend.store.write(operations, user, traceparent)
            revision, objects, commit_time = result.revision, result.objects, result.commit_time
        asked = {_key_of(change, caller): change.operation for change in body.changes}
        return CommittedChangeSet(
            revision=revision,
            dry_run=body.dry_run,
            commit_time=commit_time,
            objects=[
                CommittedObject(
                    key=ObjectKey.of(stored), operation=asked[stored.key], resource_version=stored.resource_version
                )
                for stored in objects
                if stored.key in asked
            ],
            warnings=warnings,
        )

    return router


def _parse(change: RequestedChange) -> tuple[KindInfo, str, str]:
    document = change.object
    found = document.get("metadata")
    details: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    info = by_kind(str(document.get("apiVersion")), str(document.get("kind")))
    namespace = str(details.get("namespace") or "") if info.namespaced else ""
    name = str(details.get("name") or "")
    if info.namespaced and not namespace:
        raise MeshError(
            ErrorCode.INVALID,
            f"{info.kind} {name!r} is not valid",
            [Violation("metadata.namespace", "required in a change set", "the object's namespace")],
        )
    return info, namespace, name


def _key_of(change: RequestedChange, caller: Caller) -> Key:
    info, namespace, name = _parse(change)
    caller.require(Role.EDITOR, namespace or None)
    return Key(info.group, info.plural, namespace, name)


async def _current(backend: Backend, keys: Sequence[Key]) -> dict[Key, StoredObject]:
    """What is there now of the named objects and their namespaces."""
    wanted = dict.fromkeys([*keys, *(namespaces.key_of(key.namespace) for key in keys if key.namespace)])
    found = {}
    for key in wanted:
        try:
            found[key] = backend.store.reveal(await backend.store.get(key))
        except MeshError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
    return found


async def _operations(
    backend: Backend, changes: Sequence[RequestedChange], current: Mapping[Key, StoredObject], manager: str
) -> tuple[list[WriteOp], list[str]]:
    """The writes of a change set; INVALID carries the violations of every object, each behind its place."""
    violations: list[Violation] = []
    operations: list[WriteOp] = []
    warnings: list[str] = []
    for index, change in enumerate(changes):
        try:
            operation, found = await _operation(backend, change, current, manager)
        except MeshError as error:
            if error.code is not ErrorCode.INVALID:
                raise
            inner = error.violations or (Violation("", error.detail),)
            violations += [replace(one, field=f"changes[{index}].object.{one.field}".rstrip(".")) for one in inner]
            continue
        operations.append(operation)
        if operation.verb is Verb.CREATE:
            operations += namespaces.companions(operation.key)
        warnings += [f"changes[{index}].object: {text}" for text in found]
    if violations:
        raise MeshError(ErrorCode.INVALID, "the change set is not valid; nothing was written", violations)
    return operations, warnings


async def _operation(
    backend: Backend, change: RequestedChange, current: Mapping[Key, StoredObject], manager: str
) -> tuple[WriteOp, list[str]]:
    info, namespace, name = _parse(change)
    key = Key(info.group, info.plural, namespace, name)
    rules, stored = rules_of(info), current.get(key)
    version = metadata.resource_version_of(change.object)
    if change.operation is Operation.DELETE:
        if info.kind == "Namespace":
            raise MeshError(ErrorCode.INVALID, "a Namespace is deleted through the config API, with its content")
        return WriteOp(Verb.DELETE, key, resource_version=version, keeps_history=rules.keeps_history), []
    path = ResourcePath(info.group, str(change.object["apiVersion"]).rpartition("/")[2], info.plural, namespace, name)
    metadata.check_type(change.object, path, info)
    creates = change.operation is Operation.CREATE or (change.operation is Operation.APPLY and stored is None)
    if creates or stored is None:
        document = metadata.for_create(change.object, path, info)
    else:
        document = metadata.for_update(change.object, path, info, stored.document())
    admitted = admit(document, info, backend.naming, FieldValidation.STRICT)
    warnings = [*admitted.warnings, *await references.warnings(backend.store, admitted)]
    live = None if creates or stored is None else stored.document()
    given = change.object["metadata"].get("managedFields")
    writer = manager_at(manager, path.api_version, backend.clock())
    operation = WriteOp(
        Verb.CREATE if creates else Verb.UPDATE,
        key,
        with_updated(admitted.document, live, given, writer, rules.structure),
        admitted.normalised,
        resource_version=None if creates else version,
        requires=namespaces.key_of(namespace) if creates and namespace else None,
        keeps_history=rules.keeps_history,
        status=rules.initial_status if creates else None,
    )
    return operation, warnings
