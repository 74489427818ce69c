"""Listens, and keeps the time of all connections."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from functools import partial
from itertools import count

from meshcore.grpc_server.bounds import Bounds
from meshcore.grpc_server.calls import Handler
from meshcore.grpc_server.secured import SecurePort
from meshcore.grpc_server.served import Served
from meshcore.grpc_server.service import Service
from meshcore.runtime import tasks

FAREWELL = 1
"""Seconds that connections get to be gone at a stop."""
FORGETTING = 30
"""Seconds between two looks at what was made for many connections and is asked for no longer."""
_BACKLOG = 4096
"""Connections that wait to be accepted: as many as come back at once when a server is started again."""


@contextlib.asynccontextmanager
async def serving(
    handlers: Mapping[str, Handler],
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    bounds: Bounds,
    *,
    reuse_port: bool = False,
) -> AsyncIterator[int]:
    """Serve methods, by their paths, for as long as the block lasts; gives the bound port. OSError when it is taken.

    `context` is told to speak h2; without one the port is plaintext. On exit no more calls are taken; those in work
    have `bounds.grace` seconds.
    """
    service = Service(handlers, bounds)
    serve = partial(Served, service)
    secure = None if context is None else SecurePort(context, service, serve)
    server = await asyncio.get_running_loop().create_server(
        secure or serve, host, port, backlog=_BACKLOG, reuse_port=reuse_port
    )
    try:
        async with tasks.background(_keep_time(service), name="grpc clock"):
            yield server.sockets[0].getsockname()[1]
            server.close()
            await _let_finish(service)
    finally:
        server.close()
        if secure is not None:
            secure.drop_unfinished()
        await _close_all(service)
        await server.wait_closed()


async def _let_finish(service: Service) -> None:
    for connection in service:
        connection.leave()
    running = [task for connection in service for task in connection.running]
    if running:
        await asyncio.wait(running, timeout=service.bounds.grace)
    for connection in service:
        connection.stop_calls()
    if running:
        await asyncio.wait(running, timeout=FAREWELL)


async def _close_all(service: Service) -> None:
    for connection in service:
        connection.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await service.deserted.wait()
    for connection in service:
        connection.drop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL):
            await service.deserted.wait()


async def _keep_time(service: Service) -> None:
    loop = asyncio.get_running_loop()
    for second in count(1):
        await asyncio.sleep(1)
        for connection in service:
            connection.second_passed(loop.time())
        if second % FORGETTING == 0:
            service.cuts.forget_unused()
