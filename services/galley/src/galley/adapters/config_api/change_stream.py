"""The store's change sets as a stream that ends in time: what every sort of watch is made of."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from meshcore.errors import MeshError
from meshcore.runtime import tasks

from galley.adapters.store import Store
from galley.core.storage import ChangeSet

SIGN_EVERY = 60.0
SIGN_BEFORE_END = 2.0
"""Seconds between signs of life, and how long before the end the last one comes."""


async def changes_after(
    store: Store, start: int, seconds: float, ending: asyncio.Event
) -> AsyncGenerator[tuple[int, ChangeSet | None], None]:
    """The change sets after `start`, each with its revision; None where a sign of life is due.

    Ends after so many seconds, or when `ending` is set. GONE when the store no longer knows what came after `start`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    seen = start
    subscription = store.subscribe(start)
    coming: asyncio.Task[ChangeSet | MeshError | None] | None = None
    stopping = tasks.create_task(_wait(ending), name="watch-stop")
    try:
        while (left := deadline - loop.time()) > 0:
            coming = coming or tasks.create_task(_next(subscription), name="watch-next")
            pause = left if left <= SIGN_BEFORE_END else min(SIGN_EVERY, left - SIGN_BEFORE_END)
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
