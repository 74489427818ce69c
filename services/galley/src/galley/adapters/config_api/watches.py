"""Watches: the present state when it is asked for, then every change, one JSON object per line."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError
from starlette.responses import Response, StreamingResponse

from galley.adapters.config_api import reads
from galley.adapters.config_api.calls import JSON, Call, encode
from galley.adapters.config_api.change_stream import changes_after
from galley.core.kube_api import status
from galley.core.kube_api.negotiation import Form
from galley.core.kube_api.query import ReadOptions, parse_read_options
from galley.core.kube_api.selectors import parse_selection
from galley.core.kube_api.shapes import in_version, shape_object
from galley.core.kube_api.watch_events import WatchScope, bookmark, event_of
from galley.core.storage import ChangeType

LONGEST = timedelta(hours=1)


class OpenWatches:
    """Lets all watches end at once when the service stops."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()

    def end(self) -> None:
        """End every watch."""
        self.ending.set()


async def watch(call: Call, open_watches: OpenWatches) -> Response:
    """The stream of a watch. What is wrong with the request is answered as an error, what happens later as a frame."""
    options = parse_read_options(call.query)
    selection = parse_selection(options.label_selector, options.field_selector)
    _ = call.form
    scope = WatchScope(call.info, call.path.namespace, selection)
    frames = _frames(call, options, scope, open_watches)
    return StreamingResponse(frames, media_type=JSON, headers={"Cache-Control": "no-cache, private"})


async def _frames(
    call: Call, options: ReadOptions, scope: WatchScope, open_watches: OpenWatches
) -> AsyncIterator[bytes]:
    yield b""  # headers go out at once
    start = options.revision or 0
    if start == 0:
        documents, page = await reads.read_list(call, ReadOptions(), scope.selection)
        for document in documents:
            yield _frame(call, options, ChangeType.ADDED, document)
        start = page.revision
    seconds = min(options.timeout or LONGEST, LONGEST).total_seconds()
    try:
        async with aclosing(changes_after(call.backend.store, start, seconds, open_watches.ending)) as changes:
            async for seen, change_set in changes:
                if change_set is None:
                    if options.bookmarks:
                        yield _line("BOOKMARK", bookmark(call.info, call.path.version, seen))
                    continue
                for change in change_set.changes:
                    event = event_of(change, scope)
                    if event is not None:
                        yield _frame(call, options, event[0], await _with_content(call, *event))
    except MeshError as error:
        if error.code is not ErrorCode.GONE:
            raise
        current = await call.backend.store.revision()
        yield _line("ERROR", status.expired(f"too old resource version: {start} ({current})").body)


async def _with_content(call: Call, event: ChangeType, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The changed object with its content, where that is confidential and the caller may see it.

    Changes carry none of it, so it is that of the object now: what a later event of this watch brings again.
    """
    if not call.rules.confidential or not call.reveals or event is ChangeType.DELETED:
        return document
    details = document["metadata"]
    try:
        found = await call.backend.store.get(
            Key(call.info.group, call.info.plural, details.get("namespace", ""), details["name"])
        )
    except MeshError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        return document
    if found.uid != details.get("uid"):
        return document
    shown = call.backend.store.reveal(found).document()
    return {**shown, "metadata": {**shown["metadata"], "resourceVersion": details["resourceVersion"]}}


def _frame(call: Call, options: ReadOptions, event: ChangeType, document: Mapping[str, Any]) -> bytes:
    shown = in_version(call.in_form(document), call.info, call.path.version)
    form = Form.OBJECT if call.form is Form.YAML else call.form
    body = shape_object(shown, form, call.rules, call.backend.clock(), options.include_object)
    return _line(event.value, body)


def _line(event: str, body: Mapping[str, Any]) -> bytes:
    return encode({"type": event, "object": body}) + b"\n"
