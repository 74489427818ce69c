"""Listens, and keeps the time of all connections."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping

from meshcore.grpc_server.calls import Handler
from meshcore.grpc_server.served import Served, Service
from meshcore.grpc_server.turns import Turns
from meshcore.runtime import tasks

HANDSHAKE_TIMEOUT = 10
MOST_CONNECTIONS = 16384
MOST_CALLS = 1000
MOST_STREAMS = 32768
GRACE = 2
DROP_TIMEOUT = 2
"""Seconds for a handshake; connections, unary calls and streams at once, more are refused; seconds that calls get at a
stop, and that connections get to be gone."""
_BACKLOG = 1024


@contextlib.asynccontextmanager
async def serving(
    handlers: Mapping[str, Handler],
    host: str,
    port: int,
    context: ssl.SSLContext,
    *,
    largest_message: int,
    most_calls: int = MOST_CALLS,
    most_connections: int = MOST_CONNECTIONS,
) -> AsyncIterator[int]:
    """Serve methods, by their paths, for as long as the block lasts; gives the bound port.

    `context` is told to speak h2. On exit no more calls are taken; those in work have `GRACE` seconds.
    """
    context.set_alpn_protocols(["h2"])
    service = Service(handlers, largest_message, most_calls, MOST_STREAMS, most_connections, Turns(), set())
    server = await asyncio.get_running_loop().create_server(
        lambda: Served(service),
        host,
        port,
        ssl=context,
        ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
        backlog=_BACKLOG,
    )
    try:
        async with tasks.background(_keep_time(service), name="grpc clock"):
            yield server.sockets[0].getsockname()[1]
            server.close()
            await _let_finish(service)
    finally:
        server.close()
        await _drop_all(service)
        await server.wait_closed()


async def _let_finish(service: Service) -> None:
    for connection in tuple(service.connections):
        connection.leave()
    running = [task for connection in service.connections for task in connection.running]
    if running:
        await asyncio.wait(running, timeout=GRACE)
    for connection in tuple(service.connections):
        connection.stop_calls()


async def _drop_all(service: Service) -> None:
    for connection in tuple(service.connections):
        connection.drop()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DROP_TIMEOUT):
            for connection in tuple(service.connections):
                await connection.gone.wait()


async def _keep_time(service: Service) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1)
        for connection in tuple(service.connections):
            connection.second_passed(loop.time())
