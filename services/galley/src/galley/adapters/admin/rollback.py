"""Going back: the whole store as it was at a revision, as one new revision."""

from fastapi import APIRouter, Request
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import Role, caller_of
from meshcore.model.kinds import KINDS, by_plural
from meshcore.runtime.telemetry import current_traceparent

from galley.adapters.admin.models import Rollback, RolledBack
from galley.adapters.config_api.calls import Backend
from galley.core.admission import admit
from galley.core.kinds import rules_of
from galley.core.kube_api.query import FieldValidation
from galley.core.rollback import RollbackPlan, plan_rollback
from galley.core.storage import StoredObject, Verb, WriteOp


def rollback_router(backend: Backend) -> APIRouter:
    """`POST /api/v1/rollback`."""
    router = APIRouter(tags=["history"])

    @router.post("/api/v1/rollback")
    async def roll_back_store(request: Request, body: Rollback) -> RolledBack:
        """Make every object with history what it was at a revision, all or nothing, as one new revision.

        Objects are checked again: rules may be stricter now than they were. Kinds without history (endpoints, Secrets)
        stay as they are.
        """
        caller_of(request).require(Role.ADMIN)
        now_at = await backend.store.revision()
        if body.revision > now_at:
            raise MeshError(ErrorCode.NOT_FOUND, f"revision {body.revision} is not there yet, the newest is {now_at}")
        plan = plan_rollback(await _everything(backend, None), await _everything(backend, body.revision))
        if plan.empty:
            return RolledBack(revision=now_at, to=body.revision, created=0, updated=0, deleted=0)
        result = await backend.store.write(_operations(backend, plan), caller_of(request).user, current_traceparent())
        return RolledBack(
            revision=result.revision,
            to=body.revision,
            created=len(plan.create),
            updated=len(plan.update),
            deleted=len(plan.delete),
        )

    return router


async def _everything(backend: Backend, as_of: int | None) -> list[StoredObject]:
    found: list[StoredObject] = []
    for info in KINDS:
        if rules_of(info).keeps_history and info.kind != "Secret":
            found += (await backend.store.list(info.group, info.plural, as_of=as_of)).items
    return found


def _operations(backend: Backend, plan: RollbackPlan) -> list[WriteOp]:
    made = [_write(backend, Verb.CREATE, stored) for stored in plan.create]
    made += [_write(backend, Verb.UPDATE, stored) for stored in plan.update]
    return made + [WriteOp(Verb.DELETE, key) for key in plan.delete]


def _write(backend: Backend, verb: Verb, stored: StoredObject) -> WriteOp:
    info = by_plural(stored.key.group, stored.key.plural)
    admitted = admit(stored.object, info, backend.naming, FieldValidation.STRICT)
    rules = rules_of(info)
    status = rules.initial_status if verb is Verb.CREATE else None
    return WriteOp(verb, stored.key, admitted.document, admitted.normalised, status=status)
