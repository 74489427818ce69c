"""Watches: the present state when it is asked for, then every change, one JSON object per line."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.runtime import tasks
from starlette.responses import Response, StreamingResponse

from galley.adapters.config_api import reads
from galley.adapters.config_api.calls import JSON, Call, encode
from galley.core.kube_api import status
from galley.core.kube_api.negotiation import Form
from galley.core.kube_api.query import ReadOptions, parse_read_options
from galley.core.kube_api.selectors import parse_selection
from galley.core.kube_api.shapes import in_version, shape_object
from galley.core.kube_api.watch_events import WatchScope, bookmark, event_of
from galley.core.storage import ChangeSet, ChangeType

LONGEST = timedelta(hours=1)
BOOKMARK_EVERY = 60.0
BOOKMARK_BEFORE_END = 2.0
"""Seconds."""


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
        async with aclosing(_changes(call, start, seconds, open_watches.ending)) as changes:
            async for seen, change_set in changes:
                if change_set is None:
                    if options.bookmarks:
                        yield _line("BOOKMARK", bookmark(call.info, call.path.version, seen))
                    continue
                for change in change_set.changes:
                    event = event_of(change, scope)
                    if event is not None:
                        yield _frame(call, options, *event)
    except MeshError as error:
        if error.code is not ErrorCode.GONE:
            raise
        current = await call.backend.store.revision()
        yield _line("ERROR", status.expired(f"too old resource version: {start} ({current})").body)


async def _changes(
    call: Call, start: int, seconds: float, ending: asyncio.Event
) -> AsyncGenerator[tuple[int, ChangeSet | None], None]:
    """Change sets as they come; None where a bookmark is due; ends at the deadline or when the service stops."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    seen = start
    subscription = call.backend.store.subscribe(start)
    coming: asyncio.Task[ChangeSet | MeshError | None] | None = None
    stopping = tasks.create_task(_wait(ending), name="watch-stop")
    try:
        while (left := deadline - loop.time()) > 0:
            coming = coming or tasks.create_task(_next(subscription), name="watch-next")
            pause = left if left <= BOOKMARK_BEFORE_END else min(BOOKMARK_EVERY, left - BOOKMARK_BEFORE_END)
            await asyncio.wait((coming, stopping), timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                return
            if coming.done():
                found, coming = coming.result(), None
                if found is None:
                    return
                if isinstance(found, MeshError):
                    raise found
                seen = found.revision
                yield seen, found
            else:
                yield seen, None
    finally:
        await tasks.cancel(stopping, *([coming] if coming else []))
        await subscription.aclose()  # type: ignore[attr-defined]


async def _next(subscription: AsyncIterator[ChangeSet]) -> ChangeSet | MeshError | None:
    """The next change set, None at the end; an expected error is a result, because nobody may be left to await it."""
    try:
        return await anext(subscription, None)
    except MeshError as error:
        return error


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _frame(call: Call, options: ReadOptions, event: ChangeType, document: Mapping[str, Any]) -> bytes:
    shown = in_version(document, call.info, call.path.version)
    form = Form.OBJECT if call.form is Form.YAML else call.form
    body = shape_object(shown, form, call.rules, call.backend.clock(), options.include_object)
    return _line(event.value, body)


def _line(event: str, body: Mapping[str, Any]) -> bytes:
    return encode({"type": event, "object": body}) + b"\n"
