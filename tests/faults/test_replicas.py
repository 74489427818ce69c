"""Two Galleys over one PostgreSQL: one order of revisions for every watch, one publisher, then the other, whether the
first was killed or only stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from meshcore.runtime.tasks import background
from meshcore.testing.addresses import claim
from meshcore.testing.galley import GalleyProcess
from meshcore.testing.nats import nats_server
from meshcore.testing.postgres import postgres_server

from tests.faults.consumers import Consumer
from tests.faults.test_faults import read_all, read_revisions
from tests.faults.writers import PATH, config_map

WRITERS, WRITES = 8, 12
DEADLINE = 60.0
LEASE_AND_A_BIT = 60.0
"""Seconds: a dead leader's lease ends after 15 s, and the other looks every second."""


async def watch(galley: GalleyProcess, seen: list[int]) -> None:
    """Keeps the revisions of one replica's stream of changes, from the first on."""
    async with (
        galley.admin(timeout=DEADLINE) as admin,
        admin.stream("GET", "/api/v1/changes/events", params={"after": 0}) as stream,
    ):
        assert stream.status_code == 200
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                seen.append(int(line[4:]))  # noqa: PERF401 - read while it grows


async def reaches(seen: list[int], revision: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while not seen or seen[-1] < revision:  # noqa: ASYNC110 - another task fills it
            await asyncio.sleep(0.02)


async def write(number: int, replicas: list[GalleyProcess]) -> dict[int, frozenset[str]]:
    """One writer, at one replica; the revisions it was told, and what each wrote."""
    revisions = {}
    async with replicas[number % len(replicas)].client() as config:
        for count in range(WRITES):
            name = f"w{number}-{count}"
            answer = await config.post(PATH, json=config_map(name, str(count)))
            assert answer.status_code == 201, answer.text
            revisions[int(answer.json()["metadata"]["resourceVersion"])] = frozenset({name})
    assert len(revisions) == WRITES
    return revisions


async def leaders(replicas: list[GalleyProcess]) -> list[GalleyProcess]:
    """Who says that it publishes."""
    found = []
    for replica in replicas:
        async with replica.admin() as admin:
            if (await admin.get("/debug/publisherz")).json()["leading"]:
                found.append(replica)
    return found


async def one_leader(replicas: list[GalleyProcess]) -> GalleyProcess:
    """The only one that leads, as soon as there is one."""
    async with asyncio.timeout(LEASE_AND_A_BIT):
        while not (found := await leaders(replicas)):  # noqa: ASYNC110 - it lies in another process
            await asyncio.sleep(0.1)
    assert len(found) == 1
    return found[0]


@contextlib.asynccontextmanager
async def two_galleys(directory: Path) -> AsyncIterator[tuple[list[GalleyProcess], Consumer]]:
    with contextlib.ExitStack() as stack:
        block = stack.enter_context(claim())
        nats = stack.enter_context(nats_server(directory / "nats"))
        url = await asyncio.to_thread(lambda: stack.enter_context(postgres_server()).new_database())
        replicas = []
        for number in (1, 2):
            (directory / str(number)).mkdir()
            galley = GalleyProcess(directory / str(number), block.address(number), nats_url=nats.url, store_url=url)
            replicas.append(galley)
            stack.callback(galley.kill)
            galley.start()  # both at once: they find an empty database
        for galley in replicas:
            await asyncio.to_thread(galley.wait_ready)
        async with Consumer("consumer", nats.url) as consumer:
            yield replicas, consumer


async def test_two_galleys_show_one_order_and_one_publishes_until_it_dies(tmp_path: Path):
    async with two_galleys(tmp_path) as (replicas, consumer):
        leader = await one_leader(replicas)
        shown: list[list[int]] = [[] for _ in replicas]
        async with contextlib.AsyncExitStack() as stack:
            for replica, seen in zip(replicas, shown, strict=True):
                await stack.enter_async_context(background(watch(replica, seen), name="watch"))
            told = await asyncio.gather(*(write(number, replicas) for number in range(WRITERS)))
            assert all(list(revisions) == sorted(revisions) for revisions in told)
            acknowledged = {revision: names for revisions in told for revision, names in revisions.items()}
            assert len(acknowledged) == WRITERS * WRITES, "a revision was given twice"
            newest = max(acknowledged)
            for seen in shown:
                await reaches(seen, newest)
                assert seen == list(range(1, newest + 1))
        for replica in replicas:
            async with replica.client() as config, replica.admin() as admin:
                stored, revision = await read_all(config)
                assert revision == newest
                assert stored.keys() == {name for names in acknowledged.values() for name in names}
                revisions = await read_revisions(admin)
                assert sorted(revisions) == list(range(1, newest + 1))
                assert acknowledged.items() <= revisions.items()
        await consumer.until(lambda c: c.values == stored, DEADLINE)
        assert await leaders(replicas) == [leader]

        leader.kill()
        (other,) = (replica for replica in replicas if replica is not leader)
        async with other.client() as config:
            answer = await config.post(PATH, json=config_map("after", "1"))
            assert answer.status_code == httpx.codes.CREATED
            assert await one_leader([other]) is other
            stored, _ = await read_all(config)
        await consumer.until(lambda c: c.values == stored, DEADLINE)
        assert consumer.complaints == []


async def test_a_stopped_leader_is_followed_and_steps_down_when_it_goes_on(tmp_path: Path):
    async with two_galleys(tmp_path) as (replicas, consumer):
        old = await one_leader(replicas)
        (new,) = (replica for replica in replicas if replica is not old)
        await write(0, [old])
        old.send(signal.SIGSTOP)
        await write(1, [new])  # acknowledged while nobody publishes
        assert await one_leader([new]) is new
        async with new.client() as config:
            stored, newest = await read_all(config)
            assert len(stored) == 2 * WRITES
            await consumer.until(lambda c: c.revision == newest, DEADLINE)
            assert consumer.values == stored

            old.send(signal.SIGCONT)
            await write(2, [old])
            await write(3, [new])
            stored, newest = await read_all(config)
            await consumer.until(lambda c: c.revision == newest, DEADLINE)
            assert consumer.values == stored
        async with asyncio.timeout(DEADLINE):
            while await leaders(replicas) != [new]:  # noqa: ASYNC110 - it lies in another process
                await asyncio.sleep(0.1)
        assert consumer.complaints == []
