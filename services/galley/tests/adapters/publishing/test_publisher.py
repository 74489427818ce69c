"""Store, publisher, NATS and feeds, all real: what is committed reaches every consumer, whole, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from galley.adapters.bucket import ConfigBucket
from galley.adapters.publisher import Publisher
from galley.adapters.store import Store
from galley.core.storage import Verb, WriteOp
from meshcore.bus.config_list import NobodyAnswers, request_list
from meshcore.bus.connection import Bus
from meshcore.bus.subjects import CONFIG_BUCKET
from meshcore.distribution.records import Head, encode_record, make_record
from meshcore.runtime.tasks import background
from meshcore.testing.nats import NatsServer

from .conftest import DEADLINE, Consumer, account, consuming, eventually, galley, key, write


async def test_a_fresh_mesh_shows_an_empty_state_and_then_each_change(server: NatsServer, tmp_path: Path):
    async with galley(server, tmp_path) as running, consuming(server) as consumer:
        await consumer.until(lambda c: c.revision == 0)
        await running.store.write([write(Verb.CREATE, "a"), write(Verb.CREATE, "b")], "x", "00-aa-bb-01")
        await consumer.until(lambda c: c.values == {"a": 1, "b": 1})
        await running.store.write_status(key("a"), {"ok": True}, "pilot")
        await running.store.write([write(Verb.UPDATE, "a", 2), WriteOp(Verb.DELETE, key("b"))], "x")
        await consumer.until(lambda c: c.values == {"a": 2})
        assert [revision for revision, _ in consumer.shown] == [0, 1, 3]
        assert consumer.feed.status().in_sync


class Crash(Exception):
    """The publisher's process ends here."""


class MortalBucket(ConfigBucket):
    """Dies at the n-th write, before or after it reached NATS."""

    life = 0
    after = False

    async def put(self, key: str, message: bytes) -> None:
        await self._spend(super().put(key, message))

    async def send(self, key: str, message: bytes) -> None:
        await self._spend(super().send(key, message))

    async def put_head(self, head: Head, sequence: int, behind: int | None = None) -> int:
        written = []

        async def put() -> None:
            written.append(await super(MortalBucket, self).put_head(head, sequence, behind))

        await self._spend(put())
        return written[0]

    async def _spend(self, write) -> None:
        MortalBucket.life -= 1
        if MortalBucket.life < 0 or (MortalBucket.life == 0 and not MortalBucket.after):
            MortalBucket.life = 0
            write.close()
            raise Crash
        await write
        if MortalBucket.life == 0:
            raise Crash


@pytest.mark.parametrize("in_flight", [1, 128])
async def test_a_publisher_killed_at_each_key_of_a_change_set_never_shows_a_mixture(
    server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_flight: int
):
    """50 objects change together, again and again; the publisher dies at the first put, the second, ... and the head.

    One consumer watches all the time, a new one begins after each death. Every state that any of them shows has all 50
    objects from one change set.
    """
    monkeypatch.setattr("galley.adapters.publisher.PUTS_IN_FLIGHT", in_flight)
    names = [f"n{number:02}" for number in range(50)]
    async with (
        await Store.open(f"sqlite:///{tmp_path}/galley.db") as store,
        Bus(account(server, "galley")) as bus,
        consuming(server) as consumer,
    ):
        await store.write([write(Verb.CREATE, name, 0) for name in names], "x")
        await publish_until_dead(store, bus, 10_000, consumer, 0)
        newcomers: list[Consumer] = []
        for life in range(1, 52):
            await store.write([write(Verb.UPDATE, name, life) for name in names], "x")
            MortalBucket.after = bool(life % 2)
            await publish_until_dead(store, bus, life + 1, None, 0)  # its first act is to write the old head again
            async with consuming(server) as newcomer:
                await publish_until_dead(store, bus, 10_000, consumer, life)
                await newcomer.until(lambda c, life=life: set(c.values.values()) == {life})
                newcomers.append(newcomer)
        for watcher in (consumer, *newcomers):
            for revision, values in watcher.shown:
                if values:
                    assert len(values) == 50, revision
                    assert len(set(values.values())) == 1, revision
        assert consumer.revision == await store.revision()


async def publish_until_dead(store: Store, bus: Bus, life: int, consumer: Consumer | None, value: int) -> None:
    """One publisher's life: until it has died, or until the consumer shows the value."""
    MortalBucket.life = life
    publisher = Publisher(store, bus, "galley-0", open_bucket=MortalBucket.open)

    async def live() -> None:
        with contextlib.suppress(Crash):
            await publisher.run()

    if consumer is None:
        await asyncio.wait_for(live(), DEADLINE)
        return
    async with background(live(), name="publisher"):
        await consumer.until(lambda c: set(c.values.values()) == {value})


WRITER = """
import asyncio, os, signal, sys
from pathlib import Path
from galley.adapters.bucket import ConfigBucket
from galley.adapters.publisher import Publisher
from galley.adapters.store import Store
from meshcore.bus.connection import Bus, BusSettings

class Bucket(ConfigBucket):
    left = int(sys.argv[3])
    async def put(self, key, message):
        Bucket.left -= 1
        if Bucket.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        await super().put(key, message)

async def main():
    async with await Store.open(sys.argv[1]) as store, Bus(BusSettings(sys.argv[2], Path(sys.argv[4]))) as bus:
        await Publisher(store, bus, "galley-0", open_bucket=Bucket.open).run()

asyncio.run(main())
"""


async def test_a_publisher_process_that_is_killed_in_the_middle_is_followed_by_the_next(
    server: NatsServer, tmp_path: Path
):
    url = f"sqlite:///{tmp_path}/galley.db"
    async with await Store.open(url) as store:
        await store.write([write(Verb.CREATE, f"n{number}", 7) for number in range(50)], "x")
    async with consuming(server) as consumer:
        for puts in (0, 20, 49):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", WRITER, url, server.url, str(puts), account(server, "galley").user_file),
                stderr=subprocess.DEVNULL,
            )
            try:
                assert await asyncio.wait_for(process.wait(), DEADLINE) == -signal.SIGKILL
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            assert {len(values) for _, values in consumer.shown} <= {0}
        async with galley(server, tmp_path):
            await consumer.until(lambda c: len(c.values) == 50)
            assert {len(values) for _, values in consumer.shown} <= {0, 50}


async def test_nats_killed_and_started_under_writes_loses_nothing_that_was_acknowledged(
    server: NatsServer, tmp_path: Path
):
    async with galley(server, tmp_path) as running, consuming(server) as consumer:
        acknowledged: dict[str, object] = {}
        done = asyncio.Event()

        async def write_on() -> None:
            for number in itertools.count():
                if done.is_set():
                    return
                name = f"n{number % 20}"
                verb = Verb.UPDATE if name in acknowledged else Verb.CREATE
                await running.store.write([write(verb, name, number)], "x")
                acknowledged[name] = number
                await asyncio.sleep(0.002)

        async with background(write_on(), name="writer") as writer:
            for _ in range(2):
                seen = len(consumer.shown)
                await consumer.until(lambda c, seen=seen: len(c.shown) > seen + 3)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            done.set()
            await asyncio.wait_for(writer, DEADLINE)
        await consumer.until(lambda c: c.values == acknowledged)
        assert [revision for revision, _ in consumer.shown] == sorted({revision for revision, _ in consumer.shown})


async def test_a_deleted_nats_store_costs_a_republish_and_no_config(server: NatsServer, tmp_path: Path):
    async with galley(server, tmp_path) as running, consuming(server) as consumer:
        await running.store.write([write(Verb.CREATE, f"n{number}") for number in range(30)], "x")
        await consumer.until(lambda c: len(c.values) == 30)
        server.kill()
        server.delete_store()
        await running.store.write([WriteOp(Verb.DELETE, key("n0")), write(Verb.UPDATE, "n1", 2)], "x")
        await asyncio.to_thread(server.start)
        await consumer.until(lambda c: len(c.values) == 29 and c.values["n1"] == 2)
        assert {len(values) for _, values in consumer.shown} <= {0, 29, 30}


async def test_consumers_start_from_disk_without_nats_and_converge_when_it_is_back(server: NatsServer, tmp_path: Path):
    copy = tmp_path / "pilot" / "last-copy"
    async with galley(server, tmp_path) as running:
        await running.store.write([write(Verb.CREATE, "a")], "x")
        async with consuming(server, copy) as consumer:
            await consumer.until(lambda c: c.values == {"a": 1})
        assert copy.stat().st_mode & 0o777 == 0o600
        await running.store.write([write(Verb.UPDATE, "a", 2)], "x")
        await running.published(2)
        server.kill()
        async with consuming(server, copy) as consumer:
            await consumer.until(lambda c: c.values == {"a": 1})
            assert consumer.feed.status().from_disk
            assert not consumer.feed.status().in_sync
            await asyncio.to_thread(server.start)
            await consumer.until(lambda c: c.values == {"a": 2})
            assert not consumer.feed.status().from_disk


async def test_a_new_galley_store_replaces_everything(server: NatsServer, tmp_path: Path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with consuming(server) as consumer:
        async with galley(server, tmp_path / "one") as running:
            for number in range(5):
                await running.store.write([write(Verb.CREATE, f"old{number}")], "x")
            await consumer.until(lambda c: len(c.values) == 5)
            old = consumer.store
        async with galley(server, tmp_path / "two") as running:
            await consumer.until(lambda c: c.store != old)
            assert consumer.values == {}
            await running.store.write([write(Verb.CREATE, "new")], "x")
            await consumer.until(lambda c: c.values == {"new": 1})


async def test_a_store_put_back_to_an_older_state_is_a_new_store(server: NatsServer, tmp_path: Path):
    async with consuming(server) as consumer:
        async with galley(server, tmp_path) as running:
            await running.store.write([write(Verb.CREATE, "a")], "x")
            await consumer.until(lambda c: c.revision == 1)
            old = consumer.store
        backup = {path: path.read_bytes() for path in tmp_path.glob("galley.db*")}
        async with galley(server, tmp_path) as running:
            await running.store.write([write(Verb.UPDATE, "a", 2)], "x")
            await consumer.until(lambda c: c.revision == 2)
        for path in tmp_path.glob("galley.db*"):
            path.unlink()
        for path, data in backup.items():
            path.write_bytes(data)
        async with galley(server, tmp_path) as running:
            await consumer.until(lambda c: c.store != old)
            assert consumer.values == {"a": 1}
            await running.store.write([write(Verb.UPDATE, "a", 3)], "x")
            await consumer.until(lambda c: c.values == {"a": 3})


async def test_a_spoilt_bucket_is_noticed_and_repaired_from_sql(server: NatsServer, tmp_path: Path):
    async with galley(server, tmp_path) as running, Bus(account(server, "galley")) as enemy:
        await running.store.write([write(Verb.CREATE, "a"), write(Verb.CREATE, "b")], "x")
        await running.published(1)
        await enemy.connected()
        values = await enemy.jetstream().key_value(CONFIG_BUCKET)
        state = await running.store.published_state()
        wrong = make_record(str(key("a")), state.store_id, 1, {"spec": {"v": 666}}, "", state.head.commit_time)
        await values.put(str(key("a")), encode_record(wrong))
        await values.purge(str(key("b")))
        async with consuming(server) as consumer:
            await consumer.until(lambda c: c.values == {"a": 1, "b": 1})
            assert [values for _, values in consumer.shown if values] == [{"a": 1, "b": 1}]
        bucket = await ConfigBucket.open(enemy)
        right = {name: encode_record(record) for name, record in state.records.items()}

        async def repaired() -> bool:
            return await bucket.list() == right

        await eventually(repaired)


async def test_a_long_list_comes_in_chunks_and_nobody_is_nobody(server: NatsServer, tmp_path: Path):
    async with Bus(account(server, "pilot")) as bus:
        await bus.connected()
        with pytest.raises(NobodyAnswers):
            await request_list(bus)
        async with galley(server, tmp_path) as running:
            big = [write(Verb.CREATE, f"n{number}", "x" * 50_000) for number in range(40)]
            await running.store.write(big, "x")
            await running.published(1)
            copy = await request_list(bus)
            assert len(copy.records) == 40
            assert copy.revision == 1


async def test_an_old_publisher_that_wakes_up_is_refused(server: NatsServer, tmp_path: Path):
    async with galley(server, tmp_path) as running, consuming(server) as consumer:
        await running.store.write([write(Verb.CREATE, "a")], "x")
        await consumer.until(lambda c: c.revision == 1)
        bucket = await ConfigBucket.open(running.bus)
        before = await bucket.head()
        assert before.head is not None
        await running.store.acquire_lease("publisher", "another", timedelta(seconds=1))
        await running.store.write([write(Verb.UPDATE, "a", 2)], "x")
        await consumer.until(lambda c: c.values == {"a": 2})

        async def fenced() -> bool:
            found = (await bucket.head()).head
            return found is not None and found.fencing > before.head.fencing

        await eventually(fenced)
