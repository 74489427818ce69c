from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from meshcore.bus.connection import Bus, BusSettings
from meshcore.bus.watch import BucketEntry, BucketWatch, Mark
from meshcore.testing.nats import NatsServer, nats_server
from nats.js.errors import NotFoundError

DEADLINE = 60.0
BUCKET = "things"


@pytest.fixture
def server(tmp_path: Path):
    with nats_server(tmp_path) as running:
        yield running


@pytest.fixture
async def bus(server: NatsServer):
    async with Bus(BusSettings(server.url)) as connected:
        await connected.connected()
        yield connected


async def test_an_empty_bucket_is_listed_at_once(bus: Bus):
    await bus.jetstream().create_key_value(bucket=BUCKET)
    async with BucketWatch(bus, BUCKET) as watch:
        assert await watch.next(DEADLINE) is Mark.LISTED
        assert await watch.next(0.01) is Mark.QUIET


async def test_a_watch_of_a_missing_bucket_says_so(bus: Bus):
    with pytest.raises(NotFoundError):
        async with BucketWatch(bus, BUCKET):
            pytest.fail("there is no bucket")


async def test_the_last_values_come_first_then_each_change_in_order(bus: Bus):
    values = await bus.jetstream().create_key_value(bucket=BUCKET)
    for number in range(300):
        await values.put(f"k{number % 100}", b"%d" % number)
    async with BucketWatch(bus, BUCKET) as watch:
        listed = [await watch.next(DEADLINE) for _ in range(100)]
        assert {item.key: item.value for item in listed} == {f"k{n % 100}": b"%d" % n for n in range(200, 300)}
        assert await watch.next(DEADLINE) is Mark.LISTED
        for number in range(50):
            # A key each: of one key only the last value is kept, so a watch that lags may not see those before it.
            await values.put(f"live{number}", b"%d" % number)
        live = [await watch.next(DEADLINE) for _ in range(50)]
        assert [item.value for item in live] == [b"%d" % number for number in range(50)]
        assert [item.sequence for item in live] == sorted(item.sequence for item in live)
        await values.purge("k1")
        gone = await watch.next(DEADLINE)
        assert isinstance(gone, BucketEntry)
        assert (gone.key, gone.value) == ("k1", None)


async def test_a_watch_is_broken_by_a_reconnection_and_stays_so(bus: Bus, server: NatsServer):
    values = await bus.jetstream().create_key_value(bucket=BUCKET)
    async with BucketWatch(bus, BUCKET) as watch:
        await values.put("a", b"1")
        assert await watch.next(DEADLINE) is Mark.LISTED
        server.kill()
        await asyncio.to_thread(server.start)
        seen = [await watch.next(DEADLINE) for _ in range(3)]
        assert seen[-2:] == [Mark.BROKEN, Mark.BROKEN]
    async with BucketWatch(bus, BUCKET) as watch:
        item = await watch.next(DEADLINE)
        assert isinstance(item, BucketEntry)
        assert item.value == b"1"
