"""Reads: one object, a list with pages, and the empty list of events that `describe` asks for."""

from typing import Any

from meshcore.errors import ErrorCode, MeshError
from starlette.requests import Request
from starlette.responses import Response

from galley.adapters.config_api.calls import Backend, Call, json_reply
from galley.adapters.store import Store
from galley.core.kube_api import status
from galley.core.kube_api.query import ReadOptions, parse_read_options
from galley.core.kube_api.selectors import Selection, parse_selection
from galley.core.kube_api.shapes import in_version, shape_list
from galley.core.storage import Page


async def get_object(call: Call) -> Response:
    """One object."""
    options = parse_read_options(call.query)
    _ = call.form
    stored = await call.stored()
    if options.revision and options.revision > stored.revision:
        await check_not_ahead(call.backend.store, options.revision)
    return call.reply(stored.document())


async def list_objects(call: Call) -> Response:
    """A list, or one page of it, at one revision."""
    options = parse_read_options(call.query)
    selection = parse_selection(options.label_selector, options.field_selector)
    form = call.form
    documents, page = await read_list(call, options, selection)
    metadata: dict[str, Any] = {"resourceVersion": str(page.revision)}
    if page.continue_:
        metadata["continue"] = page.continue_
    if page.remaining and selection.is_everything:
        metadata["remainingItemCount"] = page.remaining
    now, version = call.backend.clock(), call.path.version
    body = shape_list(documents, form, call.info, version, call.rules, now, metadata, options.include_object)
    return json_reply(body, form=form)


async def read_list(call: Call, options: ReadOptions, selection: Selection) -> tuple[list[dict[str, Any]], Page]:
    """The selected objects of one page, in the URL's version; pages with no match at all are passed over."""
    store, namespace = call.backend.store, call.path.namespace
    if options.revision:
        await check_not_ahead(store, options.revision)
    continue_ = options.continue_token or None
    as_of = options.revision if options.exact and options.revision and not continue_ else None
    while True:
        try:
            page = await store.list(
                call.info.group,
                call.info.plural,
                namespace,
                limit=options.limit or None,
                continue_=continue_,
                as_of=as_of,
            )
        except MeshError as error:
            if error.code is ErrorCode.GONE:
                raise status.expired("The provided continue parameter is too old: start the list again") from error
            if error.code is ErrorCode.INVALID:
                raise status.bad_request(f"continue key is not valid: {error.detail}") from error
            raise
        documents = [
            in_version(call.in_form(document), call.info, call.path.version)
            for item in page.items
            if selection.matches(document := (store.reveal(item) if call.reveals else item).document())
        ]
        if documents or not page.continue_:
            return documents, page
        continue_ = page.continue_


async def check_not_ahead(store: Store, wanted: int) -> None:
    """504 when the caller has seen a revision that this store has not."""
    current = await store.revision()
    if wanted > current:
        raise status.future_version(wanted, current)


async def empty_events(backend: Backend, request: Request) -> Response:
    """Events are not kept; `describe` fails when their list is absent."""
    if request.method not in ("GET", "HEAD"):
        raise status.method_not_allowed()
    revision = str(await backend.store.revision())
    version = "events.k8s.io/v1" if "/apis/" in request.scope["path"] else "v1"
    return json_reply(
        {"kind": "EventList", "apiVersion": version, "metadata": {"resourceVersion": revision}, "items": []}
    )
