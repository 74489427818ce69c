"""Revisions of the store and of its objects, and going back to one."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from meshcore.distribution.keys import CLUSTER_SCOPE, CORE_GROUP, Key
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import Page, Role, caller_of, entity_tag, if_match
from meshcore.model.kinds import by_plural
from meshcore.runtime.telemetry import current_traceparent

from galley.adapters.admin.models import AuditRecord, ChangeSummary, ObjectRevision, Rollback
from galley.adapters.config_api.calls import Backend
from galley.core.admission import admit
from galley.core.confidential import is_confidential
from galley.core.kinds import rules_of
from galley.core.kube_api.query import FieldValidation
from galley.core.storage import StoredObject, Verb, WriteOp

_OBJECT = "/api/v1/objects/{group}/{plural}/{namespace}/{name}"


def history_router(backend: Backend) -> APIRouter:
    """Routes under `/api/v1`; `core` stands for the core group and `_` for cluster scope."""
    router = APIRouter(tags=["history"])
    store = backend.store

    @router.get(_OBJECT)
    async def get_object(
        request: Request,
        response: Response,
        group: str,
        plural: str,
        namespace: str,
        name: str,
        as_of: Annotated[int | None, Query(alias="asOf", ge=1)] = None,
    ) -> dict[str, Any]:
        """One object, now or as it was at a revision."""
        key = _key(request, group, plural, namespace, name, Role.VIEWER)
        if as_of is not None and as_of > await store.revision():
            raise MeshError(ErrorCode.NOT_FOUND, f"revision {as_of} is not there yet")
        stored = await store.get(key, as_of=as_of)
        response.headers["ETag"] = entity_tag(stored.resource_version)
        return stored.document()

    @router.get(_OBJECT + "/history")
    async def list_history(
        request: Request, group: str, plural: str, namespace: str, name: str
    ) -> Page[ObjectRevision]:
        """The kept revisions of an object, oldest first."""
        key = _key(request, group, plural, namespace, name, Role.VIEWER)
        entries = await store.history(key)
        if not entries:
            raise MeshError(ErrorCode.NOT_FOUND, f"nothing is known of {plural} {name!r}")
        return Page(items=[ObjectRevision.of(entry) for entry in entries])

    @router.post(_OBJECT + "/rollback")
    async def roll_back_object(
        request: Request,
        response: Response,
        group: str,
        plural: str,
        namespace: str,
        name: str,
        body: Rollback,
        if_match_header: Annotated[str | None, Header(alias="If-Match")] = None,
    ) -> dict[str, Any]:
        """Put the object of an older revision back, as one new revision. `If-Match` guards against a lost update."""
        key = _key(request, group, plural, namespace, name, Role.EDITOR)
        if body.revision > await store.revision():
            raise MeshError(ErrorCode.NOT_FOUND, f"revision {body.revision} is not there yet")
        past = await store.get(key, as_of=body.revision)
        operation = await _restore(backend, key, past, if_match(if_match_header))
        result = await store.write([operation], caller_of(request).user, current_traceparent())
        response.headers["ETag"] = entity_tag(result.objects[0].resource_version)
        return result.objects[0].document()

    @router.get("/api/v1/changes")
    async def list_changes(
        request: Request,
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> Page[ChangeSummary]:
        """The revisions after one, oldest first, without their objects; `continue` is the next `after`."""
        caller_of(request).require(Role.VIEWER)
        sets = await store.change_sets(after, limit)
        more = str(sets[-1].revision) if len(sets) == limit else None
        return Page(items=[ChangeSummary.of(change_set) for change_set in sets], continue_=more)

    @router.get("/api/v1/audit")
    async def list_audit(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
        before: Annotated[int | None, Query(alias="continue", ge=1)] = None,
    ) -> Page[AuditRecord]:
        """Every write that was tried, the newest first; no content of any object."""
        caller_of(request).require(Role.ADMIN)
        entries = await store.audit(before, limit)
        more = str(entries[-1].number) if len(entries) == limit else None
        items = [
            AuditRecord(
                number=entry.number,
                time=entry.time,
                author=entry.author,
                traceparent=entry.traceparent,
                revision=entry.revision,
                outcome=entry.outcome,
                operations=list(entry.operations),
            )
            for entry in entries
        ]
        return Page(items=items, continue_=more)

    return router


def _key(request: Request, group: str, plural: str, namespace: str, name: str, role: Role) -> Key:
    """The key that a path names, if the caller may."""
    real_group = "" if group == CORE_GROUP else group
    info = by_plural(real_group, plural)
    place = "" if namespace == CLUSTER_SCOPE else namespace
    if info.namespaced != bool(place):
        raise MeshError(ErrorCode.NOT_FOUND, f"{plural} are {'' if info.namespaced else 'not '}in namespaces")
    caller_of(request).require(role, place or None)
    return Key(real_group, plural, place, name)


async def _restore(backend: Backend, key: Key, past: StoredObject, version: str | None) -> WriteOp:
    """The write that brings an old object back. It is checked again: rules may be stricter now than they were."""
    info = by_plural(key.group, key.plural)
    if is_confidential(key):
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "of a confidential object's past only metadata is kept")
    admitted = admit(past.object, info, backend.naming, FieldValidation.STRICT)
    keeps_history = rules_of(info).keeps_history
    try:
        await backend.store.get(key)
    except MeshError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        requires = Key("", "namespaces", "", key.namespace) if key.namespace else None
        return WriteOp(
            Verb.CREATE, key, admitted.document, admitted.normalised, requires=requires, keeps_history=keeps_history
        )
    return WriteOp(
        Verb.UPDATE,
        key,
        admitted.document,
        admitted.normalised,
        resource_version=version,
        keeps_history=keeps_history,
    )
