"""When the admin API comes: behind what proxies are served.

The web framework takes a fifth of a second to import. A Pilot that has a copy of the config on disk serves proxies
before it, and those that wait for it already; without one there is nothing to serve yet.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from meshcore.light_imports import light_imports
from meshcore.runtime import Readiness, Runtime
from meshcore.tls import LiveIdentity

from pilot.adapters.answers import Source
from pilot.adapters.serving import config_copy
from pilot.settings import PilotSettings

LONGEST = 2.0
"""Seconds that the admin API waits at most."""
COME = 0.1
"""Seconds in which proxies that wait for an open port come."""
_LOOK = 0.02


async def start_admin(
    runtime: Runtime[PilotSettings], source: Source, identity: LiveIdentity | None, busy: Callable[[], bool]
) -> None:
    """Serve the admin API, where there is a copy once this process is not `busy` with the first proxies."""
    copy = config_copy(runtime.settings)
    if copy is not None and copy.exists():
        await first_proxies_served(runtime.readiness, busy)
    # In a thread: a proxy that comes meanwhile is served beside it.
    serve_admin, create_router = await asyncio.to_thread(_framework)
    await serve_admin(runtime, [create_router(source)], identity=identity)


async def first_proxies_served(readiness: Readiness, busy: Callable[[], bool]) -> None:
    """Return when whoever comes to the open ports at once is served, and after `LONGEST` in any case."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LONGEST):
            await readiness.wait("started")
            await asyncio.sleep(COME)
            for _ in range(int(LONGEST / _LOOK)):
                if not busy():
                    return
                await asyncio.sleep(_LOOK)


def _framework() -> Sequence[Callable[..., Any]]:
    with light_imports():
        from meshcore.http import serve_admin

        from pilot.adapters.admin import create_router
    return serve_admin, create_router
