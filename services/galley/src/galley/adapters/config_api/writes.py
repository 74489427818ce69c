"""Writes of objects: read the body, have core decide, commit, answer with what is now there."""

import copy
import dataclasses
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.runtime.telemetry import current_traceparent
from starlette.responses import Response

from galley.adapters.config_api import applies, namespaces
from galley.adapters.config_api.calls import Call, json_reply
from galley.adapters.config_api.commits import (
    RETRIES,
    commit,
    create_object,
    foreseen,
    options_of,
    tracked,
    update_object,
)
from galley.core.admission import check_size
from galley.core.kube_api import bodies, metadata, status
from galley.core.kube_api.bodies import Body, PatchType
from galley.core.kube_api.query import WriteOptions, parse_write_options
from galley.core.kube_api.selectors import parse_selection
from galley.core.kube_api.shapes import in_version
from galley.core.patching import apply_patch
from galley.core.storage import StoredObject, Verb, WriteOp
from galley.core.times import time_text

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


async def _body_of(call: Call) -> Body:
    """The object in the body of a create or replace."""
    body = bodies.decode_object(call.request.headers.get("content-type", ""), await call.body())
    built_in = call.rules.strategic_merge_keys is not None
    return dataclasses.replace(
        body, document=metadata.with_type(body.document, call.path, call.info, built_in=built_in)
    )


async def create(call: Call) -> Response:
    """POST on a collection: 201 with the new object."""
    options = options_of(call)
    body = await _body_of(call)
    metadata.check_type(body.document, call.path, call.info)
    given = body.document["metadata"].get("managedFields")
    document = metadata.for_create(body.document, call.path, call.info, _suffix)
    return await create_object(call, document, options, body, partial(tracked, call, options, live=None, given=given))


async def replace(call: Call) -> Response:
    """PUT of an object."""
    options = options_of(call)
    body = await _body_of(call)
    metadata.check_type(body.document, call.path, call.info)
    stored = await call.stored()
    version = metadata.resource_version_of(body.document)
    if version is None and not call.rules.unconditional_update:
        raise status.invalid(
            call.info,
            stored.key.name,
            [Violation("metadata.resourceVersion", "0x0: must be specified for an update")],
        )
    given = body.document["metadata"].get("managedFields")
    document = metadata.for_update(body.document, call.path, call.info, stored.document())
    track = partial(tracked, call, options, live=stored.document(), given=given)
    return await update_object(call, stored, document, options, body, version, track)


async def patch(call: Call) -> Response:
    """PATCH of an object. Without a resourceVersion in the patch a lost race is simply run again."""
    options = options_of(call)
    patch_type = bodies.patch_type_of(
        call.request.headers.get("content-type", ""), strategic=call.rules.strategic_merge_keys is not None, apply=True
    )
    if patch_type is PatchType.APPLY:
        return await applies.apply(call, options)
    if "force" in call.query:
        raise status.invalid_options(
            "force", "FieldValueForbidden", "Forbidden: may not be specified for non-apply patch"
        )
    body = bodies.decode_json(await call.body())
    for attempt in range(RETRIES):
        stored = await call.stored()
        current = in_version(stored.document(), call.info, call.path.version)
        patched = apply_patch(patch_type, current, body.document, call.rules.strategic_merge_keys or {})
        metadata.check_type(patched, call.path, call.info)
        version = metadata.resource_version_of(patched)
        if version is not None and version != stored.resource_version:
            raise status.conflict(call.info, stored.key.name)
        document = metadata.for_update(patched, call.path, call.info, stored.document())
        given = patched["metadata"].get("managedFields")
        track = partial(tracked, call, options, live=stored.document(), given=given)
        try:
            return await update_object(call, stored, document, options, body, stored.resource_version, track)
        except MeshError as error:
            if error.code is not ErrorCode.CONFLICT or attempt == RETRIES - 1:
                raise
    raise status.conflict(call.info, call.name)


async def write_status(call: Call) -> Response:
    """PUT or PATCH of the status alone; everything else in the body is ignored."""
    options = options_of(call)
    stored = await call.backend.store.get(call.key(call.name))
    current = in_version(stored.document(), call.info, call.path.version)
    content_type = call.request.headers.get("content-type", "")
    if call.request.method == "PUT":
        document = bodies.decode_object(content_type, await call.body()).document
        metadata.check_type(document, call.path, call.info)
        version = metadata.resource_version_of(document)
    else:
        patch_type = bodies.patch_type_of(content_type, strategic=call.rules.strategic_merge_keys is not None)
        patch_body = bodies.decode_json(await call.body()).document
        document = apply_patch(patch_type, copy.deepcopy(current), patch_body, call.rules.strategic_merge_keys or {})
        version = stored.resource_version
    new_status = document.get("status")
    if new_status is not None and not isinstance(new_status, Mapping):
        raise status.bad_request("status is not an object")
    check_size(new_status, call.info, stored.key.name)
    operation = WriteOp(Verb.STATUS, stored.key, status=new_status, resource_version=version)
    result = await commit(call, [operation], options, current={stored.key: stored})
    return call.reply(result.document())


async def delete(call: Call) -> Response:
    """DELETE of an object: a Status with its uid, or the object when it has to wait for finalizers."""
    options, preconditions = await _delete_options(call)
    stored = await call.stored()
    version, uid = preconditions.get("resourceVersion"), preconditions.get("uid")
    if call.info.kind == "Namespace":
        if version not in (None, stored.resource_version) or uid not in (None, stored.uid):
            raise status.conflict(call.info, stored.key.name, "Precondition failed: it is not the one that was meant")
        return await _delete_namespace(call, stored, options)
    operation = _deletion(call, stored, version, uid)
    if operation is None:
        return call.reply(stored.document())
    if operation.verb is Verb.UPDATE:
        result = await commit(call, [operation], options, current={stored.key: stored})
        return call.reply(result.document())
    if options.dry_run:
        await commit(call, [operation], options, current={stored.key: stored})
        warnings = await foreseen(call, {stored.key: None})
        return _deleted(call, stored, warnings=warnings)
    done = await call.backend.store.write([operation], call.caller.user, current_traceparent())
    return _deleted(call, stored, done.revision)


def _deleted(call: Call, stored: StoredObject, revision: int | None = None, warnings: Sequence[str] = ()) -> Response:
    """The reply to a deletion; its revision, so that its convergence can be asked for."""
    if call.rules.answers_deletion_with_object:
        shown = stored.document()
        shown["metadata"]["resourceVersion"] = str(revision or stored.revision)
        return call.reply(shown, warnings=warnings)
    written = "" if revision is None else str(revision)
    return json_reply(status.success(call.info, stored.key.name, stored.uid, written), warnings=warnings)


def _deletion(call: Call, stored: StoredObject, version: str | None = None, uid: str | None = None) -> WriteOp | None:
    """What deletes an object: of one with finalizers the mark by which they know; None when it is marked already."""
    details = stored.object["metadata"]
    if not details.get("finalizers"):
        return WriteOp(
            Verb.DELETE, stored.key, resource_version=version, uid=uid, keeps_history=call.rules.keeps_history
        )
    if "deletionTimestamp" in details:
        return None
    marked = {**stored.object, "metadata": {**details, "deletionTimestamp": _now(call)}}
    return WriteOp(Verb.UPDATE, stored.key, marked, stored.normalised, resource_version=version, uid=uid)


async def _delete_namespace(call: Call, stored: StoredObject, options: WriteOptions) -> Response:
    namespaces.check_deletable(stored.key.name)
    warnings: list[str] = []
    if options.dry_run:
        warnings = await foreseen(call, {stored.key: None})
    else:
        await namespaces.delete_with_content(
            call.backend.store, stored.key.name, call.caller.user, current_traceparent()
        )
    shown = stored.document()
    shown["metadata"]["deletionTimestamp"] = _now(call)
    shown["status"] = {"phase": "Terminating"}
    return call.reply(shown, warnings=warnings)


async def delete_collection(call: Call) -> Response:
    """DELETE of everything that is selected, as one change set; answers the list of what is gone."""
    options, _ = await _delete_options(call)
    if not call.info.namespaced:
        raise status.method_not_allowed()
    selection = parse_selection(call.query.get("labelSelector", ""), call.query.get("fieldSelector", ""))
    page = await call.backend.store.list(call.info.group, call.info.plural, call.path.namespace)
    chosen = [call.backend.store.reveal(item) for item in page.items if selection.matches(item.document())]
    operations = [found for item in chosen if (found := _deletion(call, item)) is not None]
    warnings: list[str] = []
    if operations and options.dry_run:
        warnings = await foreseen(call, {item.key: None for item in chosen})
    elif operations:
        await call.backend.store.write(operations, call.caller.user, current_traceparent())
    items = [in_version(item.document(), call.info, call.path.version) for item in chosen]
    return json_reply(
        {
            "apiVersion": call.path.api_version,
            "kind": f"{call.info.kind}List",
            "metadata": {"resourceVersion": str(await call.backend.store.revision())},
            "items": items,
        },
        warnings=warnings,
    )


async def _delete_options(call: Call) -> tuple[WriteOptions, Mapping[str, Any]]:
    """`dryRun` counts in the body too, where kubectl puts it."""
    raw = await call.body()
    content = bodies.decode_object(call.request.headers.get("content-type", ""), raw).document if raw.strip() else {}
    if not isinstance(content, Mapping):
        raise status.bad_request("the body is not DeleteOptions")
    in_body = content.get("dryRun") or []
    if not isinstance(in_body, list):
        raise status.bad_request("dryRun is not a list")
    values = (*call.request.query_params.getlist("dryRun"), *(str(value) for value in in_body))
    preconditions = content.get("preconditions") or {}
    if not isinstance(preconditions, Mapping):
        raise status.bad_request("preconditions is not an object")
    return parse_write_options(call.query, values), preconditions


def _suffix() -> str:
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))


def _now(call: Call) -> str:
    return time_text(call.backend.clock())
