"""Change sets: several objects in one revision, all or nothing."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.http import Caller, Role, caller_of, problem_response
from meshcore.http.problem import MEDIA_TYPE
from meshcore.model.kinds import KindInfo, by_kind
from meshcore.runtime.telemetry import current_traceparent

from galley.adapters.admin.models import (
    CommittedChangeSet,
    CommittedObject,
    Consequences,
    Finding,
    ObjectKey,
    Operation,
    ReachedProxies,
    RefusedDryRun,
    RequestedChange,
    RequestedChangeSet,
)
from galley.adapters.config_api import consequences, namespaces, references
from galley.adapters.config_api.calls import Backend
from galley.adapters.pilot_effect import visible
from galley.core.admission import admit
from galley.core.apply.documents import manager_at, manager_of, with_updated
from galley.core.change_set import decide
from galley.core.kinds import rules_of
from galley.core.kube_api import metadata
from galley.core.kube_api.paths import ResourcePath
from galley.core.kube_api.query import FieldValidation
from galley.core.storage import StoredObject, Verb, WriteOp
from galley.core.what_if import Alteration

_NO_PILOT = "no Pilot is known here (GALLEY_PILOT_URL)"
_NOT_VALID = "Pilot is not asked about a change that is not valid"
_REFUSED: dict[int | str, dict[str, Any]] = {
    422: {"model": RefusedDryRun, "description": "Not valid", "content": {MEDIA_TYPE: {}}}
}


def changesets_router(backend: Backend) -> APIRouter:
    """`POST /api/v1/changesets`."""
    router = APIRouter(tags=["changesets"])

    @router.post("/api/v1/changesets", response_model=CommittedChangeSet, responses=_REFUSED)
    async def apply_changeset(request: Request, body: RequestedChangeSet) -> CommittedChangeSet | Response:
        """Check every object, then write all of them as one revision, or none with every violation of all.

        A dry run also says what analysis would say of the whole config after the change.
        """
        caller = caller_of(request)
        keys = [_key_of(change, caller) for change in body.changes]
        current = await _current(backend, keys)
        manager = manager_of("", request.headers.get("user-agent", ""))
        try:
            operations, warnings = await _operations(backend, body.changes, current, manager)
        except MeshError as error:
            if not body.dry_run or error.code is not ErrorCode.INVALID:
                raise
            foreseen = await _foreseen(backend, caller, body.changes, keys, None)
            extension = {"what_if": foreseen.model_dump(exclude_none=True)}
            return problem_response(error.code, error.detail, error.violations, extension=extension)
        user, traceparent = caller.user, current_traceparent()
        expected: Consequences | None = None
        if body.dry_run:
            revision = await backend.store.revision() + 1
            effects = decide(operations, current, revision, backend.clock(), lambda: str(uuid.uuid4()))
            objects: Sequence[StoredObject] = [effect.result for effect in effects]
            commit_time = None
            expected = await _foreseen(backend, caller, body.changes, keys, operations)
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
            what_if=expected,
        )

    return router


async def _foreseen(
    backend: Backend,
    caller: Caller,
    changes: Sequence[RequestedChange],
    keys: Sequence[Key],
    operations: Sequence[WriteOp] | None,
) -> Consequences:
    """What analysis says, and what Pilot does of the writes; `operations` None: they are not valid."""
    alterations = [
        Alteration(key, None if change.operation is Operation.DELETE else change.object)
        for key, change in zip(keys, changes, strict=True)
    ]
    found = await consequences.consequences(backend, caller, alterations)
    reached, why_not = await _reached(backend, caller, operations)
    return Consequences(
        findings=[Finding.of(message) for message in found.messages],
        resolved=[Finding.of(message) for message in found.resolved],
        proxies=reached,
        proxies_not_known=why_not,
    )


async def _reached(
    backend: Backend, caller: Caller, operations: Sequence[WriteOp] | None
) -> tuple[ReachedProxies | None, str | None]:
    """The proxies that the writes would reach, or why they are not known."""
    if operations is None:
        return None, _NOT_VALID
    if backend.pilot is None:
        return None, _NO_PILOT
    try:
        effect = await backend.pilot.ask(operations)
    except MeshError as error:
        return None, error.detail
    return ReachedProxies.model_validate(visible(effect, caller.namespaces(Role.VIEWER))), None


def _parse(change: RequestedChange) -> tuple[KindInfo, str, str]:
    document = change.object
    details = document.get("metadata")
    info = by_kind(str(document.get("apiVersion")), str(document.get("kind")))
    if not isinstance(details, Mapping):
        violation = Violation("metadata", "required in a change set", "a mapping with the object's name")
        raise MeshError(ErrorCode.INVALID, f"{info.kind} is not valid", [violation])
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
