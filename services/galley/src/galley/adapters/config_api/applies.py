"""Server-side apply: PATCH with a configuration that says what its manager wants and nothing else."""

from functools import partial
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.model.load import without_nulls
from starlette.responses import Response

from galley.adapters.config_api.calls import Call
from galley.adapters.config_api.commits import RETRIES, create_object, manager_in, update_object
from galley.core.apply.documents import check_configuration, merged, with_applied
from galley.core.kube_api import bodies, metadata, status
from galley.core.kube_api.query import WriteOptions, parse_boolean
from galley.core.kube_api.shapes import in_version
from galley.core.storage import StoredObject


async def apply(call: Call, options: WriteOptions) -> Response:
    """201 when the object is new, 200 else; 409 with every conflict that is not forced.

    Without a resourceVersion in the configuration a lost race is simply run again.
    """
    if not options.field_manager:
        message = "Required value: is required for apply patch"
        raise status.invalid_options("fieldManager", "FieldValueRequired", message)
    force = parse_boolean(call.query.get("force"))
    body = bodies.decode_configuration(await call.body())
    check_configuration(body.document, call.path.api_version, call.name)
    configuration = _completed(call, without_nulls(body.document, call.info.model))
    for attempt in range(RETRIES):
        try:
            stored = await _stored(call)
            if stored is None:
                return await _create(call, configuration, options, body)
            return await _update(call, stored, configuration, options, body, force=force)
        except MeshError as error:
            lost = error.code in (ErrorCode.CONFLICT, ErrorCode.ALREADY_EXISTS) and _is_race(error)
            if not lost or metadata.resource_version_of(configuration) or attempt == RETRIES - 1:
                raise
    raise status.conflict(call.info, call.name)


def _completed(call: Call, configuration: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the name of the URL; what it may not say is refused as in any object."""
    found = {**configuration, "metadata": {**(configuration.get("metadata") or {}), "name": call.name}}
    metadata.check_type(found, call.path, call.info)
    metadata.check_namespace(found["metadata"], call.path, call.info)
    return found


async def _stored(call: Call) -> StoredObject | None:
    try:
        return await call.stored()
    except MeshError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        return None


def _is_race(error: MeshError) -> bool:
    """Whether somebody else was faster, rather than in the way."""
    return not (isinstance(error, status.StatusError) and "causes" in error.details)


async def _create(call: Call, configuration: dict[str, Any], options: WriteOptions, body: bodies.Body) -> Response:
    if version := metadata.resource_version_of(configuration):
        raise status.conflict(call.info, call.name, f"there is no object of version {version}")
    document = metadata.for_create(configuration, call.path, call.info)
    track = partial(
        with_applied,
        live=None,
        configuration=configuration,
        manager=manager_in(call, options),
        structure=call.rules.structure,
    )
    return await create_object(call, document, options, body, track)


async def _update(
    call: Call,
    stored: StoredObject,
    configuration: dict[str, Any],
    options: WriteOptions,
    body: bodies.Body,
    *,
    force: bool,
) -> Response:
    version = metadata.resource_version_of(configuration)
    if version is not None and version != stored.resource_version:
        raise status.conflict(call.info, call.name)
    live = in_version(stored.document(), call.info, call.path.version)
    manager, structure = manager_in(call, options), call.rules.structure
    result = merged(live, configuration, manager.name, structure, force=force)
    document = metadata.for_update(result, call.path, call.info, live)
    track = partial(with_applied, live=live, configuration=configuration, manager=manager, structure=structure)
    return await update_object(call, stored, document, options, body, stored.resource_version, track)
