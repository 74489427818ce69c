"""How much time handshakes get beside everything else, by a clock that stands still but for them."""

import asyncio

import pytest
from meshcore.grpc_server import handshakes
from meshcore.grpc_server.handshakes import LEAST, MOST, Handshakes

STEP = LEAST / 4


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0
        self.steps = 0

    def __call__(self) -> float:
        return self.now

    def take_turn(self) -> None:
        self.now += STEP
        self.steps += 1


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(handshakes, "monotonic", found)
    return found


@pytest.mark.parametrize(
    ("others", "steps"), [(0, 4), (LEAST, 4), (10 * LEAST, 40), (100 * MOST, round(MOST / STEP))], ids=str
)
async def test_handshakes_get_as_much_time_as_everything_else_within_bounds(clock, others, steps):
    waiting = Handshakes()
    for _ in range(1000):
        waiting.wants(clock)
    assert clock.steps == 0
    for turn in range(1, 4):
        clock.now += others
        await asyncio.sleep(0)
        assert turn * steps <= clock.steps <= turn * (steps + 1)


async def test_all_have_their_turn_and_the_next_ones_too(clock):
    waiting = Handshakes()
    for _ in range(3):
        for _ in range(10):
            waiting.wants(clock)
        for _ in range(5):
            await asyncio.sleep(0)
    assert clock.steps == 30


async def test_one_step_is_made_however_slow(clock):
    waiting = Handshakes()
    slow = [Clock(), Clock()]
    for one in slow:
        one.take_turn = lambda: setattr(clock, "now", clock.now + MOST) or setattr(clock, "steps", clock.steps + 1)
        waiting.wants(one)
    await asyncio.sleep(0)
    assert clock.steps == 1
    await asyncio.sleep(0)
    assert clock.steps == 2


async def test_one_that_fails_keeps_nobody_from_his_turn(clock):
    class Failing:
        def take_turn(self):
            raise RuntimeError("a bug")

    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    waiting = Handshakes()
    waiting.wants(Failing())
    waiting.wants(clock)
    for _ in range(2):
        await asyncio.sleep(0)
    assert clock.steps == 1
    assert [str(one) for one in told] == ["a bug"]
