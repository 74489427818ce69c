"""Server-sent events: every change of the store, as it is committed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from meshcore.errors import MeshError
from meshcore.http import Role, caller_of

from galley.adapters.admin.models import ChangeSummary
from galley.adapters.config_api.calls import Backend
from galley.adapters.config_api.change_stream import changes_after

_LONGEST = 3600.0
"""Seconds; a client reconnects by itself and says where it was."""


def events_router(backend: Backend, stopping: asyncio.Event) -> APIRouter:
    """`GET /api/v1/changes/events`."""
    router = APIRouter(tags=["history"])

    @router.get("/api/v1/changes/events", response_class=StreamingResponse)
    async def stream_changes(
        request: Request,
        after: Annotated[int | None, Query(ge=0)] = None,
        last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    ) -> StreamingResponse:
        """Each change set as an event whose id is its revision; begins after `Last-Event-ID`, `after`, or now.

        An event `expired` ends the stream when the revisions behind the starting point are compacted: list again.
        """
        caller_of(request).require(Role.VIEWER)
        start = after
        if last_event_id is not None and last_event_id.isdecimal():
            start = int(last_event_id)
        if start is None:
            start = await backend.store.revision()
        return StreamingResponse(_events(backend, start, stopping), media_type="text/event-stream")

    return router


async def _events(backend: Backend, start: int, stopping: asyncio.Event) -> AsyncIterator[str]:
    yield ": connected\n\n"
    try:
        async with aclosing(changes_after(backend.store, start, _LONGEST, stopping)) as changes:
            async for revision, change_set in changes:
                if change_set is None:
                    yield ": still here\n\n"
                else:
                    yield f"id: {revision}\nevent: change\ndata: {ChangeSummary.of(change_set).model_dump_json()}\n\n"
    except MeshError as error:
        yield f"event: {'expired' if error.code.value == 'gone' else 'failed'}\ndata: {error.detail}\n\n"
