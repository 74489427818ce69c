"""What a serving process gives back in time."""

import asyncio

from meshcore.runtime import tasks
from meshcore.xds import delta
from meshcore.xds.frames import Frames
from meshcore.xds.resource import NOTHING, PackedResource, ResourceSet
from meshcore.xds.subscription import Subscription
from meshcore.xds.types import CLUSTER_TYPE
from pilot.adapters import upkeep


async def test_messages_that_nobody_asks_for_are_forgotten_and_memory_is_given_back(monkeypatch):
    trims, frames = [], Frames()
    monkeypatch.setattr(upkeep, "EVERY", 0.0)
    monkeypatch.setattr(upkeep, "memory_trim", lambda: lambda: trims.append(1))
    target = ResourceSet.of([PackedResource.pack(CLUSTER_TYPE, "a", b"a")]).of_type(CLUSTER_TYPE)
    move = frames.transition("delta", CLUSTER_TYPE, NOTHING, target, Subscription(wildcard=True))
    frames.frame(move, delta.assemble, 0)
    async with tasks.background(upkeep.keep_house(frames), name="upkeep"), asyncio.timeout(60):
        while frames._moves or len(trims) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert frames._used == 0


def test_memory_is_given_back_where_libc_can_and_nothing_breaks_where_it_cannot(monkeypatch):
    upkeep.memory_trim()()
    monkeypatch.setattr(upkeep.ctypes, "CDLL", lambda _: object())
    assert upkeep.memory_trim()() is None
