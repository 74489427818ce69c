"""Streams take their pushes in turns, so that what arrives meanwhile is heard between two compiles."""

import asyncio
import contextlib
import socket
import time
from types import SimpleNamespace

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE
from pilot.adapters import turns
from pilot.adapters.turns import Turns

CLASSES = 6
HOPS = 4
"""Tasks that an event of the bus goes through, each in a pass of its own."""


class Told(list):
    """The numbers that were told, until there are so many."""

    def __init__(self, count):
        super().__init__()
        self.whole = asyncio.Event()
        self.count = count

    def append(self, number):
        super().append(number)
        if len(self) == self.count:
            self.whole.set()

    async def all_of_them(self):
        async with asyncio.timeout(60):
            await self.whole.wait()


@pytest.fixture
def clock(monkeypatch):
    """Stands still but for what the test says: the machine may keep this process waiting for as long as it likes."""
    found = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(turns, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


async def test_endpoints_come_first_and_then_a_class_after_the_other(clock):
    told = Told(6)
    made = Turns(2, told.append)
    made.line_up(1, [(1, "a"), (2, "b"), (3, "a"), (4, "b")])
    made.line_up(0, [(3, "a"), (4, "b")])
    made.line_up(1, [(1, "a")])
    assert made.waits(1, 1)
    await told.all_of_them()
    assert told == [3, 4, 1, 3, 2, 4]
    assert not any(made.waits(line, number) for line in (0, 1) for number in range(5))


async def test_of_a_large_class_a_part_is_told_at_a_time_and_who_comes_into_the_first_line_goes_before_the_rest(clock):
    told = Told(201)

    def tell(number):
        told.append(number)
        if number == 0:
            made.line_up(0, [(1000, "late")])

    made = Turns(2, tell)
    made.line_up(1, [(number, "a") for number in range(200)])
    await told.all_of_them()
    assert told.index(1000) == turns.TOGETHER
    assert sorted(told) == [*range(200), 1000]


async def test_a_class_that_never_ends_keeps_no_other_waiting(clock):
    told, whole = Told(10_000), asyncio.Event()

    def tell(number):
        told.append(number)
        if number:
            made.line_up(0, [(number, "large")])
        else:
            whole.set()

    made = Turns(2, tell)
    made.line_up(0, [(number, "large") for number in range(1, 3 * turns.TOGETHER)])
    made.line_up(0, [(0, "small")])
    async with asyncio.timeout(60):
        await whole.wait()
    assert told.index(0) == turns.TOGETHER


async def test_config_has_its_turns_while_endpoints_never_stop_changing(clock):
    """There may be more changes of endpoints than this process can push."""
    told, endpoints = [], range(100, 100 + 2 * turns.TOGETHER)
    whole = asyncio.Event()

    def tell(number):
        told.append(number)
        clock.now += 0.001 if number >= 100 else 0.05  # of config there is more in a push
        if number >= 100:
            made.line_up(0, [(number, number % 3)])
        elif {1, 2, 3} <= set(told):
            whole.set()

    made = Turns(2, tell)
    made.line_up(0, [(number, number % 3) for number in endpoints])
    made.line_up(1, [(1, "a"), (2, "b"), (3, "c")])
    async with asyncio.timeout(60):
        await whole.wait()
    assert set(endpoints) <= set(told[: told.index(1)]), "endpoints come first"
    assert told.index(3) > told.index(2) + turns.TOGETHER, "what config takes is a part of the time"


class Slow:
    """A compiler that takes its time, and in the first compile of a round something arrives for this process."""

    def __init__(self):
        self.compiled = []
        self.arrives = None

    def __call__(self, snapshot, proxy_class):
        if self.arrives is not None:
            self.compiled.append(proxy_class.namespace)
            if len(self.compiled) == 1:
                self.arrives.send(b"news")
        until = time.monotonic() + 2 * turns.WORK
        while time.monotonic() < until:
            pass
        names = [key.host for key in snapshot.registry.services]
        return ResourceSet.of(
            [PackedResource.pack(CLUSTER_TYPE, name, cluster_pb2.Cluster(name=name)) for name in names]
        )


@pytest.mark.parametrize("woken_by", ["turn", "acknowledgement"])
async def test_what_arrives_is_heard_between_the_compiles_of_two_classes(serve_mesh, woken_by):
    """`acknowledgement`: those who have something else to do when a push is there do not take it before their turn."""
    slow, heard = Slow(), []
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()

    def hear():
        ours.recv(100)
        hop(HOPS)

    def hop(more):
        if more:
            loop.call_soon(hop, more - 1)
        else:
            heard.append(len(slow.compiled))

    async with contextlib.AsyncExitStack() as stack, serve_mesh(compile_class=slow) as mesh:
        stack.callback(ours.close)
        stack.callback(theirs.close)
        ours.setblocking(False)
        loop.add_reader(ours, hear)
        stack.callback(loop.remove_reader, ours)
        # Two streams of each class: who comes second finds its class compiled.
        whose = [(name, f"space-{number}") for number in range(CLASSES) for name in ("a", "b")]
        clients = [await stack.enter_async_context(AdsClient(mesh.plaintext, node(*who))) for who in whose]
        mesh.change(mesh.service("reviews"))
        for client in clients:
            await client.until(lambda client=client: client.names(CLUSTER_TYPE))
        await mesh.receipt(mesh.revision)
        slow.arrives = theirs
        revision = mesh.change(mesh.service("details"))
        if woken_by == "acknowledgement":
            mesh.hub._release()
            for number in mesh.hub.engine.streams:
                mesh.hub._wake(number)
        await mesh.receipt(revision)
        assert heard in ([1], [2])
        assert sorted(slow.compiled) == [f"space-{number}" for number in range(CLASSES)]
        for client in clients:
            await client.until(lambda client=client: len(client.names(CLUSTER_TYPE)) == 2)
