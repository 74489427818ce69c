"""New streams are let in one in each turn, on the event loop that Pilot runs on."""

import asyncio

import pytest
import uvloop
from pilot.adapters.line import Line
from pilot.core.admission import Admission
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

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(stream(number))
        return served

    assert sorted(runner(come())) == list(range(100))
