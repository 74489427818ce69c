"""Carries one stream, whichever end dialled: requests into its session, answers out of it, one task.

While an answer is being written (the peer may be slow) changes of the view merge into the next one.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import grpc
import grpc.aio
import structlog
from meshcore.errors import MeshError
from meshcore.runtime import tasks

from galley.adapters.mcp import telemetry
from galley.adapters.mcp.live_view import LiveView
from galley.core.mcp.effects import Acked, Close, Effect, Nacked, Push, Request, Stale
from galley.core.mcp.view import ConfigView

_log = structlog.get_logger("mcp")


class Session(Protocol):
    """What both protocols' sessions can do."""

    def on_view(self, view: ConfigView) -> tuple[Effect, ...]:
        """The config is this now."""

    def on_request(self, request: Request) -> tuple[Effect, ...]:
        """The peer said this."""


def new_stream_id() -> str:
    """A name that no other stream has, for its nonces."""
    return secrets.token_hex(6)


async def converse(
    call: Any,
    session: Session,
    view: LiveView,
    parse: Callable[[bytes], Request],
    frame: Callable[[Push], bytes],
    *,
    expires: float | None = None,
) -> str:
    """Serve until the peer ends the stream or `expires` (seconds from now); why it ended. MeshError when it must be
    closed with a status. `call` reads and writes bytes as grpc.aio's calls and contexts do."""
    ends_at = None if expires is None else time.monotonic() + expires
    coming: asyncio.Task[Any] = tasks.create_task(_read(call), name="mcp read")
    moving: asyncio.Task[ConfigView] = tasks.create_task(view.after(None), name="mcp view")
    telemetry.CLIENTS.inc()
    try:
        while ends_at is None or time.monotonic() < ends_at:
            left = None if ends_at is None else ends_at - time.monotonic()
            await asyncio.wait((coming, moving), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if moving.done():
                seen = moving.result()
                moving = tasks.create_task(view.after(seen), name="mcp view")
                await _execute(call, session.on_view(seen), frame)
            if coming.done():
                data = coming.result()
                if data is grpc.aio.EOF:
                    return "peer ended"
                if isinstance(data, grpc.RpcError):
                    raise data
                coming = tasks.create_task(_read(call), name="mcp read")
                await _execute(call, session.on_request(parse(data)), frame)
        return "certificate ended"
    finally:
        telemetry.CLIENTS.dec()
        await tasks.cancel(coming, moving)


async def _read(call: Any) -> Any:
    """The next message, the end, or the error that broke the stream: a value, because nobody may be left to await."""
    try:
        return await call.read()
    except grpc.aio.AioRpcError as error:
        return error


async def _execute(call: Any, effects: Iterable[Effect], frame: Callable[[Push], bytes]) -> None:
    for effect in effects:
        collection = "" if isinstance(effect, Close) else telemetry.collection_label(effect.topic)
        match effect:
            case Push():
                data = frame(effect)
                telemetry.MESSAGE_SIZES.labels(collection).observe(len(data))
                try:
                    await call.write(data)
                except (grpc.RpcError, asyncio.InvalidStateError):
                    telemetry.SEND_FAILURES.inc()
                    raise
            case Acked():
                telemetry.ACKS.labels(collection).inc()
            case Nacked():
                telemetry.NACKS.labels(collection, telemetry.code_label(effect.code)).inc()
                _log.warning(
                    "config refused by a peer",
                    collection=collection,
                    version=effect.version,
                    code=effect.code,
                    detail=effect.message[:500],
                )
            case Stale():
                _log.debug("stale request ignored", collection=collection)
            case Close():
                raise MeshError(effect.code, effect.message)
