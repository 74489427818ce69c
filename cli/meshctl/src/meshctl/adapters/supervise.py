"""The supervisor's process: holds the stack's lock, serves its control socket, and ends in good order."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.control import Order, first_failure, serve_control
from meshctl.adapters.loopback import lock_stack
from meshctl.adapters.processes import write_private
from meshctl.adapters.supervisor import Supervisor
from meshctl.adapters.text_files import read_workloads
from meshctl.core.failure import StackFailure
from meshctl.core.plan import StackSettings


async def supervise(
    settings: StackSettings, *, restart: bool, first: Callable[[Supervisor], Awaitable[None]] | None = None
) -> None:
    """Runs until a `stop` order, SIGTERM or SIGINT; then takes the stack down.

    `first` is awaited once the control socket answers; when it raises, the stack is taken down at once and the
    failure raised again.
    """
    held = lock_stack(settings.stack.number)
    if held is None:
        detail = f"stack {settings.stack.number} is held by another supervisor on this machine"
        raise MeshError(ErrorCode.FAILED_PRECONDITION, detail)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        async with asyncio.TaskGroup() as tasks:
            supervisor = Supervisor(settings, restart=restart, tasks=tasks)

            async def handle(order: Order) -> dict[str, Any]:
                return await _handle(supervisor, order, stopping)

            server = await serve_control(settings.layout.control_socket, handle)
            write_settings(settings, restart)
            try:
                failure = await _attempt(first, supervisor)
                if failure is None:
                    await stopping.wait()
            finally:
                await supervisor.stop()
                server.close()
                Path(settings.layout.control_socket).unlink(missing_ok=True)
                Path(settings.layout.settings).unlink(missing_ok=True)
    finally:
        held.release()
    if failure is not None:
        raise failure


async def _attempt(
    first: Callable[[Supervisor], Awaitable[None]] | None, supervisor: Supervisor
) -> StackFailure | None:
    try:
        if first is not None:
            await first(supervisor)
    except StackFailure as failure:
        return failure
    except ExceptionGroup as group:
        return first_failure(group)
    return None


async def _handle(supervisor: Supervisor, order: Order, stopping: asyncio.Event) -> dict[str, Any]:
    match order["op"]:
        case "ensure":
            added = read_workloads(order["workloads"]) if order.get("workloads") else None
            await supervisor.ensure(float(order["timeout"]), added)
            return await supervisor.status()
        case "remove":
            await supervisor.remove(list(order["names"]), kill=bool(order.get("kill")))
            return await supervisor.status()
        case "status":
            return await supervisor.status()
        case "stop":
            stopping.set()
            return {}
    raise MeshError(ErrorCode.INVALID, f"no such order: {order['op']}")


def write_settings(settings: StackSettings, restart: bool) -> None:
    """Notes what the stack runs with, for `status` and `down`."""
    document = {
        "stack": settings.stack.number,
        "supervisor": os.getpid(),
        "pilots": settings.pilots,
        "pilot_workers": settings.pilot_workers,
        "trust_domain": settings.trust_domain,
        "restart": restart,
    }
    write_private(Path(settings.layout.settings), json.dumps(document))
