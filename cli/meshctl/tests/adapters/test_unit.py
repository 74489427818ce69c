import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from meshcore.errors import MeshError
from meshcore.testing.addresses import claim
from meshcore.testing.processes import is_running
from meshctl.adapters.loopback import require_free
from meshctl.adapters.processes import adopt, last_lines, read_record, start, start_ticks, stop_all_recorded
from meshctl.adapters.unit import Unit
from meshctl.core.failure import StackFailure
from meshctl.core.layout import Layout
from meshctl.core.plan import ProcessSpec, Role

PORT = 9080
LISTEN = """
import signal, socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2]))); s.listen()
print("listening", flush=True)
signal.sigwait({signal.SIGTERM})
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path))


@pytest.fixture
async def tasks(layout: Layout) -> AsyncIterator[asyncio.TaskGroup]:
    async with asyncio.TaskGroup() as group:
        yield group
        await stop_all_recorded(layout)
        for task in asyncio.all_tasks():
            if task.get_name().startswith("keep "):
                task.cancel()


@pytest.fixture
def address():
    with claim() as held:
        yield held.address()


def listener(address: str, program: str = LISTEN, name: str = "listener") -> ProcessSpec:
    argv = (sys.executable, "-c", program, address, str(PORT))
    return ProcessSpec(name, Role.SERVICE, argv, listens=((address, PORT),))


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the kernel does not tell
            await asyncio.sleep(0.01)


def session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def later() -> float:
    return asyncio.get_running_loop().time() + 60


async def test_a_dead_process_is_started_again(layout: Layout, tasks: asyncio.TaskGroup, address: str) -> None:
    unit = Unit(listener(address), layout, restart=True)
    unit.ensure_running(tasks)
    await unit.wait_ready(later())
    first = unit.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: unit.pid not in (None, first))
    await unit.wait_ready(later())
    await unit.stop()
    assert unit.pid is None
    assert start_ticks(first) is None


async def test_without_restart_the_next_ensure_brings_it_back(
    layout: Layout, tasks: asyncio.TaskGroup, address: str
) -> None:
    unit = Unit(listener(address), layout, restart=False)
    unit.ensure_running(tasks)
    await unit.wait_ready(later())
    first = unit.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: unit.pid is None)
    assert await unit.state() in ("restarting", "stopped")
    unit.ensure_running(tasks)
    await unit.wait_ready(later())
    assert unit.pid not in (None, first)
    await unit.stop()


async def test_a_process_that_keeps_ending_fails_with_its_last_lines(
    layout: Layout, tasks: asyncio.TaskGroup, address: str
) -> None:
    spec = listener(address, "print('no such luck'); raise SystemExit(3)", "broken")
    unit = Unit(spec, layout, restart=False)
    unit.ensure_running(tasks)
    with pytest.raises(StackFailure) as caught:
        await unit.wait_ready(later())
    assert (caught.value.process, caught.value.reason) == ("broken", "ended with code 3")
    assert caught.value.lines == ("no such luck",)


async def test_a_running_process_of_the_same_spec_is_adopted(layout: Layout, address: str) -> None:
    spec = listener(address)
    process = start(spec, layout)
    adopted = adopt(spec, layout)
    assert adopted is not None
    assert adopted.record == process.record
    other = ProcessSpec("listener", Role.SERVICE, (*spec.argv, "more"), listens=spec.listens)
    assert adopt(other, layout) is None
    await process.stop(layout, timedelta(seconds=5))
    assert adopt(spec, layout) is None
    assert not Path(layout.pid_file("listener")).exists()


async def test_a_pid_of_somebody_else_is_never_taken_for_ours(layout: Layout, address: str) -> None:
    spec = listener(address)
    process = start(spec, layout)
    path = Path(layout.pid_file("listener"))
    path.write_text(path.read_text().replace(f'"started": {process.record.started}', '"started": 1'))
    assert adopt(spec, layout) is None
    record = read_record(path)
    assert record is not None
    assert not record.alive()
    await process.stop(layout, timedelta(seconds=5))


async def test_stopping_takes_children_along(layout: Layout) -> None:
    program = "import subprocess,sys,time; subprocess.Popen(['sleep','600']); print('up', flush=True); time.sleep(600)"
    process = start(ProcessSpec("parent", Role.SERVICE, (sys.executable, "-c", program)), layout)
    await until(lambda: last_lines(layout, "parent") == ["up"])
    session = process.record.pid
    await process.stop(layout, timedelta(seconds=5))
    assert [pid for pid in psutil.pids() if session_of(pid) == session and is_running(pid)] == []


def test_an_address_in_use_names_its_owner(address: str) -> None:
    import socket

    with socket.socket() as held:
        held.bind((address, PORT))
        held.listen()
        with pytest.raises(
            MeshError, match=rf"galley cannot start: {address}:{PORT} is in use by process {os.getpid()}"
        ):
            require_free("galley", [(address, PORT)])
    require_free("galley", [(address, PORT)])
