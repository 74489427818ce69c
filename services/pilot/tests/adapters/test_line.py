"""New streams are let in one in each turn, as many as the loop bears, on the event loop that Pilot runs on."""

import asyncio
import contextlib
import time

import pytest
import uvloop
from pilot.adapters.line import LOOK, Line
from pilot.core import admission, concurrency
from pilot.core.admission import Admission
from pilot.core.concurrency import FIRST, LATE, LEAST
from pilot.core.tenants import Tenants


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("per_second", [0, 1000])
def test_a_hundred_that_come_at_once_are_all_let_in(runner, per_second):
    async def come():
        line = Line(Admission(4, per_second), Tenants(), lambda: None)
        served = []

        async def stream(number):
            async with line.admitted(f"client-{number % 7}"):
                await asyncio.sleep(0)
                served.append(number)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(stream(number))
        return served

    assert sorted(runner(come())) == list(range(100))


@contextlib.asynccontextmanager
async def waiting(streams):
    """So many that stay where they are, each of a client of its own; `patient` lets them."""
    let_in, over = Admission(), asyncio.Event()
    line = Line(let_in, Tenants(), lambda: None)

    async def stream(number):
        async with line.admitted(f"client-{number}"):
            await over.wait()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(streams):
            group.create_task(stream(number))
        yield let_in
        over.set()


@pytest.fixture
def patient(monkeypatch):
    """Nobody who says nothing gives up his place, however long the machine keeps this process waiting."""
    monkeypatch.setattr(admission, "PATIENCE", 3600.0)


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_more_are_let_in_as_long_as_the_loop_is_in_time(runner, patient, monkeypatch):
    monkeypatch.setattr(concurrency, "LATE", 30.0)  # the test itself keeps the loop busy

    async def come():
        async with waiting(4 * FIRST) as let_in:
            while let_in.busy < 3 * FIRST:  # noqa: ASYNC110 - a line has no event for it
                await asyncio.sleep(0)
            assert let_in.limit >= 3 * FIRST

    runner(come())


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_fewer_are_let_in_as_long_as_the_loop_is_late(runner, patient):
    def work():
        until = time.thread_time() + LOOK + 2 * LATE
        while time.thread_time() < until:
            pass

    async def come():
        async with waiting(4 * FIRST) as let_in:
            while let_in.limit > LEAST:
                work()
                await asyncio.sleep(0)

    runner(come())
