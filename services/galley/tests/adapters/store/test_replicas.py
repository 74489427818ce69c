"""Two stores over one PostgreSQL, as two Galleys have them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from galley.adapters.store import Store
from galley.core.storage import ChangeSet, Verb, WriteOp
from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError
from meshcore.testing.postgres import PostgresServer

LENGTH = timedelta(seconds=10)


def create(name: str) -> WriteOp:
    return WriteOp(Verb.CREATE, Key("g", "things", "ns", name), {"spec": 1}, {"spec": 1})


@pytest.fixture
async def replicas(postgres: PostgresServer):
    url = postgres.new_database()
    async with contextlib.AsyncExitStack() as stack:
        opened = await asyncio.gather(Store.open(url), Store.open(url))
        yield [await stack.enter_async_context(store) for store in opened]


async def test_the_order_of_commits_is_the_order_of_revisions_for_every_watcher(replicas: list[Store]):
    async def watch(store: Store) -> list[ChangeSet]:
        seen: list[ChangeSet] = []
        async with asyncio.timeout(60), contextlib.aclosing(store.subscribe(0)) as changes:
            async for change_set in changes:
                seen.append(change_set)
                if len(seen) == 80:
                    break
        return seen

    async def write(store: Store, writer: int) -> None:
        for number in range(20):
            await store.write([create(f"w{writer}-{number}")], f"writer-{writer}")

    watching = [asyncio.ensure_future(watch(store)) for store in replicas]
    await asyncio.gather(*(write(replicas[writer % 2], writer) for writer in range(4)))
    for seen in await asyncio.gather(*watching):
        assert [change_set.revision for change_set in seen] == list(range(1, 81))
    assert await replicas[0].store_id() == await replicas[1].store_id()


async def test_two_replicas_with_the_same_resource_version(replicas: list[Store]):
    version = (await replicas[0].write([create("a")], "x")).objects[0].resource_version
    outcomes = await asyncio.gather(
        *(
            store.write([WriteOp(Verb.UPDATE, Key("g", "things", "ns", "a"), {"spec": n}, {}, version)], "x")
            for n, store in enumerate(replicas, 10)
        ),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["MeshError", "WriteResult"]
    assert [error.code for error in outcomes if isinstance(error, MeshError)] == [ErrorCode.CONFLICT]


async def test_one_lease_at_a_time_and_the_next_number_is_higher(replicas: list[Store]):
    one, two = replicas
    assert await one.acquire_lease("publisher", "one", LENGTH) == 1
    assert await two.acquire_lease("publisher", "two", LENGTH) is None
    assert await one.acquire_lease("publisher", "one", LENGTH) == 2
    await one.release_lease("publisher", 2)
    assert await two.acquire_lease("publisher", "two", LENGTH) == 3
    assert not await one.renew_lease("publisher", 2, LENGTH)


STOPPED_WRITER = """
import asyncio, os, signal, sys
from datetime import UTC, datetime
from galley.adapters.store import Store, engine
from galley.core.storage import Verb, WriteOp
from meshcore.distribution.keys import Key
from meshcore.errors import MeshError

def clock():
    os.kill(os.getpid(), signal.SIGSTOP)
    return datetime.now(UTC)

async def main():
    engine.LONGEST_PAUSE = 1.0
    async with await Store.open(sys.argv[1], clock=clock) as store:
        try:
            await store.write([WriteOp(Verb.CREATE, Key("g", "things", "ns", "stopped"), {"spec": 1}, {})], "x")
        except MeshError as error:
            print(error.code, end="")

asyncio.run(main())
"""
"""Its process is stopped while it decides, with the lock of all writers in its hand."""


async def test_a_replica_stopped_in_the_middle_of_a_write_does_not_hold_up_the_others(postgres: PostgresServer):
    url = postgres.new_database()
    async with await Store.open(url) as store:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", STOPPED_WRITER, url), stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(60):
                while _state(process.pid) != "T":  # noqa: ASYNC110 - it stops itself
                    await asyncio.sleep(0.02)
                await store.write([create("a")], "x")
                process.send_signal(signal.SIGCONT)
                told, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert told.splitlines()[-1] == b"unavailable"  # behind its log
        assert [change_set.revision for change_set in await store.change_sets(0)] == [1]
        with pytest.raises(MeshError):
            await store.get(Key("g", "things", "ns", "stopped"))


def _state(pid: int) -> str:
    """The kernel's letter for what a process does."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
