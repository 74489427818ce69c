"""What every write of an object has in common: its options, admission, who owns its fields, the commit, the reply."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime.telemetry import current_traceparent
from starlette.responses import Response

from galley.adapters.config_api import consequences, namespaces, references
from galley.adapters.config_api.calls import Call
from galley.core.admission import Admitted, admit
from galley.core.apply.documents import manager_at, manager_of, with_updated
from galley.core.apply.ownership import Manager
from galley.core.change_set import decide
from galley.core.kube_api import status
from galley.core.kube_api.bodies import Body
from galley.core.kube_api.query import WriteOptions, check_dry_run, parse_write_options
from galley.core.storage import StoredObject, Verb, WriteOp
from galley.core.what_if import Alteration

RETRIES = 8
"""How often a write that was not conditional is run again when somebody else was faster."""

Track = Callable[[dict[str, Any]], dict[str, Any]]
"""Puts the owners of its fields into an admitted document."""


def options_of(call: Call) -> WriteOptions:
    """The options of a write in its query."""
    values = tuple(call.request.query_params.getlist("dryRun"))
    check_dry_run(values)
    _ = call.form
    return parse_write_options(call.query, values)


def manager_in(call: Call, options: WriteOptions) -> Manager:
    """Who writes here and now."""
    name = manager_of(options.field_manager, call.request.headers.get("user-agent", ""))
    return manager_at(name, call.path.api_version, call.backend.clock())


def tracked(
    call: Call, options: WriteOptions, document: dict[str, Any], live: Mapping[str, Any] | None, given: Any
) -> dict[str, Any]:
    """The document with its owners after a write that is no apply; `given` are the ones that came with it."""
    return with_updated(document, live, given, manager_in(call, options), call.rules.structure)


async def create_object(
    call: Call, document: dict[str, Any], options: WriteOptions, body: Body, track: Track
) -> Response:
    """Admit and store a new object: 201."""
    key = call.key(document["metadata"]["name"])
    admitted = await _admit(call, key, document, options, body.duplicates)
    operation = WriteOp(
        Verb.CREATE,
        key,
        track(admitted.document),
        admitted.normalised,
        requires=namespaces.key_of(key.namespace) if key.namespace else None,
        keeps_history=call.rules.keeps_history,
        status=call.rules.initial_status,
    )
    warnings = [*admitted.warnings, *await references.warnings(call.backend.store, admitted)]
    operations = [operation, *namespaces.companions(key)]
    try:
        stored = await commit(call, operations, options, current={})
    except MeshError as error:
        raise namespaces.closed(error, key.namespace) or status.from_error(error, call.info, key.name) from error
    shown = stored.document()
    if options.dry_run:
        del shown["metadata"]["resourceVersion"]
        warnings += await foreseen(call, {key: admitted.document})
    return call.reply(shown, 201, warnings)


async def update_object(
    call: Call,
    stored: StoredObject,
    document: dict[str, Any],
    options: WriteOptions,
    body: Body,
    version: str | None,
    track: Track,
) -> Response:
    """Admit and store another content of an object: 200."""
    admitted = await _admit(call, stored.key, document, options, body.duplicates)
    if _is_deleted_now(admitted.document):
        operation = WriteOp(Verb.DELETE, stored.key, resource_version=version, keeps_history=call.rules.keeps_history)
    else:
        operation = WriteOp(
            Verb.UPDATE,
            stored.key,
            track(admitted.document),
            admitted.normalised,
            resource_version=version,
            uid=stored.uid,
            keeps_history=call.rules.keeps_history,
        )
    warnings = [*admitted.warnings, *await references.warnings(call.backend.store, admitted)]
    result = await commit(call, [operation], options, current={stored.key: stored})
    shown = result.document()
    if options.dry_run:
        shown["metadata"]["resourceVersion"] = stored.resource_version
        warnings += await foreseen(call, {stored.key: admitted.document})
    return call.reply(shown, 200, warnings)


def _is_deleted_now(document: Mapping[str, Any]) -> bool:
    """An object that waits for its finalizers goes when the last one does."""
    found = document["metadata"]
    return "deletionTimestamp" in found and not found.get("finalizers")


async def _admit(
    call: Call, key: Key, document: Mapping[str, Any], options: WriteOptions, duplicates: Sequence[str]
) -> Admitted:
    """Check the document; a dry run that is refused still hears what analysis says of it."""
    try:
        return admit(document, call.info, call.backend.naming, options.field_validation, duplicates)
    except status.StatusError as error:
        if options.dry_run:
            error.warnings = tuple(await foreseen(call, {key: document}))
        raise


async def foreseen(call: Call, documents: Mapping[Key, Mapping[str, Any] | None]) -> list[str]:
    """What analysis says of these objects (None: gone) over the live config: the warnings of a dry run."""
    alterations = [Alteration(key, document) for key, document in documents.items()]
    return await consequences.warnings(call.backend, call.caller, alterations)


async def commit(
    call: Call, operations: Sequence[WriteOp], options: WriteOptions, current: Mapping[Key, StoredObject]
) -> StoredObject:
    """Write the operations and answer the first one's object; a dry run decides the same and writes nothing."""
    store = call.backend.store
    if not options.dry_run:
        result = await store.write(operations, call.caller.user, current_traceparent())
        return result.objects[0]
    known = dict(current)
    first = operations[0]
    if first.verb is Verb.CREATE:
        for key in (first.key, first.requires):
            if key is not None:
                known.update(await _present(call, key))
    revision = await store.revision() + 1
    effects = decide(operations[:1], known, revision, call.backend.clock(), lambda: str(uuid.uuid4()))
    return effects[0].result


async def _present(call: Call, key: Key) -> dict[Key, StoredObject]:
    try:
        return {key: await call.backend.store.get(key)}
    except MeshError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        return {}
