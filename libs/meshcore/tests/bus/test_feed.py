"""The feed against a real server and a hand-made publisher; Galley's own tests run it against the real one."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path

import nats.errors
import pytest
from meshcore.bus.connection import Bus, BusSettings
from meshcore.bus.feed import ConfigEvent, ConfigFeed
from meshcore.bus.subjects import CONFIG_BUCKET
from meshcore.distribution.digest import SetDigest
from meshcore.distribution.events import ChangeSet, FullState
from meshcore.distribution.keys import HEAD_KEY
from meshcore.distribution.records import Head, encode_head, encode_record, make_record
from meshcore.runtime import tasks
from meshcore.testing.nats import NatsServer, nats_server
from nats.js.kv import KeyValue

DEADLINE = 60.0
NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = "core.services.default.a"


@pytest.fixture
def server(tmp_path: Path):
    with nats_server(tmp_path / "nats") as running:
        yield running


class HandPublisher:
    """Publishes one key by hand."""

    def __init__(self, values: KeyValue) -> None:
        self.values = values
        self.revision = 0

    async def record(self, value: int) -> None:
        record = make_record(KEY, "s", self.revision + 1, {"v": value}, "00-trace", NOW)
        await self.values.put(KEY, encode_record(record))

    async def head(self, value: int) -> None:
        record = make_record(KEY, "s", self.revision + 1, {"v": value}, "00-trace", NOW)
        total = SetDigest()
        total.add(record.digest)
        head = Head("s", 1, self.revision + 1, self.revision, (KEY,), str(total), "00-trace", NOW)
        await self.values.put(HEAD_KEY, encode_head(head))
        self.revision += 1


@pytest.fixture
async def publisher(server: NatsServer):
    async with Bus(BusSettings(server.url)) as bus:
        await bus.connected()
        yield HandPublisher(await bus.jetstream().create_key_value(bucket=CONFIG_BUCKET))


async def following(events) -> ConfigEvent:
    return await asyncio.wait_for(anext(events), DEADLINE)


async def test_a_record_is_shown_with_its_head_and_not_before(server: NatsServer, publisher: HandPublisher):
    await publisher.record(1)
    await publisher.head(1)
    async with Bus(BusSettings(server.url)) as bus:
        feed = ConfigFeed(bus)
        async with contextlib.aclosing(feed.events()) as events:
            full = await following(events)
            assert isinstance(full, FullState)
            assert [record.object for record in full.entries.values()] == [{"v": 1}]
            waiting = asyncio.ensure_future(anext(events))
            await publisher.record(2)
            done, _ = await asyncio.wait({waiting}, timeout=0.2)
            assert not done
            await publisher.head(2)
            step = await asyncio.wait_for(waiting, DEADLINE)
            assert isinstance(step, ChangeSet)
            assert (step.previous, step.revision, step.traceparent) == (1, 2, "00-trace")
            assert [change.object for change in step.changes] == [{"v": 2}]
            assert step.changes[0].previous is not None
            assert feed.status().in_sync


async def test_malformed_messages_are_refused_and_disturb_nothing(server: NatsServer, publisher: HandPublisher):
    await publisher.record(1)
    await publisher.head(1)
    async with Bus(BusSettings(server.url)) as bus, contextlib.aclosing(ConfigFeed(bus).events()) as events:
        await following(events)
        for key in (HEAD_KEY, KEY, "not-a-config-key"):
            await publisher.values.put(key, b"\xff{")
        await publisher.record(2)
        await publisher.head(2)
        step = await following(events)
        assert step.revision == 2


def altered(record: bytes) -> bytes:
    return record.replace(b'{"v":2}', b'{"v":3}')


async def test_attack_47_what_is_no_message_of_galleys_changes_nothing(server: NatsServer, publisher: HandPublisher):
    """Altered, nested without end, of odd types, as large as NATS takes; then the next good revision is shown."""
    await publisher.record(1)
    await publisher.head(1)
    async with Bus(BusSettings(server.url)) as bus, contextlib.aclosing(ConfigFeed(bus).events()) as events:
        await following(events)
        good = encode_record(make_record(KEY, "s", 2, {"v": 2}, "00-trace", NOW))
        deep = b"[" * 200_000 + b"]" * 200_000
        for message in (
            altered(good),
            good.replace(b'{"v":2}', deep),
            b'{"a":' * 100_000,
            good.replace(b'"revision":2', b'"revision":"2"'),
            good[: len(good) // 2],
            b"\x00" * 1_000_000,
            b"",
        ):
            for key in (KEY, HEAD_KEY, "core.services.bank.vault", "a"):
                await publisher.values.put(key, message)
        with pytest.raises(nats.errors.MaxPayloadError):
            await publisher.values.put(KEY, b"x" * (2 << 20))
        await publisher.record(2)
        await publisher.head(2)
        step = await following(events)
        assert isinstance(step, ChangeSet)
        assert [change.object for change in step.changes] == [{"v": 2}]


async def test_attack_47_what_is_said_again_or_out_of_order_goes_back_to_nothing(
    server: NatsServer, publisher: HandPublisher
):
    """Records and heads of before, a head of a publisher that was replaced, one that leads from nowhere."""
    replayed = {}
    async with Bus(BusSettings(server.url)) as bus, contextlib.aclosing(ConfigFeed(bus).events()) as events:
        for value in (1, 2):
            await publisher.record(value)
            await publisher.head(value)
            replayed[value] = [(await publisher.values.get(key)).value or b"" for key in (KEY, HEAD_KEY)]
        while (shown := await following(events)).revision < 2:
            assert shown.revision == 1
        old_record, old_head = replayed[1]
        await publisher.values.put(HEAD_KEY, old_head)
        await publisher.values.put(KEY, old_record)
        await publisher.values.put(HEAD_KEY, old_head)
        stale = Head("s", 0, 9, 2, (KEY,), str(SetDigest()), "", NOW)
        await publisher.values.put(HEAD_KEY, encode_head(stale))
        await publisher.values.put(KEY, replayed[2][0])
        await publisher.record(3)
        await publisher.head(3)
        step = await following(events)
        assert isinstance(step, ChangeSet)
        assert (step.previous, step.revision) == (2, 3)
        assert [change.object for change in step.changes] == [{"v": 3}]


async def test_a_copy_that_is_still_the_newest_is_the_truth_and_no_step_follows(
    server: NatsServer, publisher: HandPublisher, tmp_path: Path
):
    copy = tmp_path / "state" / "config"
    await publisher.record(1)
    await publisher.head(1)
    async with Bus(BusSettings(server.url)) as bus, contextlib.aclosing(ConfigFeed(bus, copy).events()) as events:
        await following(events)
    async with Bus(BusSettings(server.url)) as bus:
        feed = ConfigFeed(bus, copy)
        async with contextlib.aclosing(feed.events()) as events:
            await following(events)
            assert feed.status().from_disk
            async with tasks.background(following(events), name="a step that does not come") as further:
                async with asyncio.timeout(DEADLINE):
                    while not feed.status().in_sync:  # noqa: ASYNC110 - nothing is shown
                        await asyncio.sleep(0.01)
                assert not feed.status().from_disk
                assert not further.done()


async def test_the_last_copy_comes_first_and_only_what_changed_since_follows(
    server: NatsServer, publisher: HandPublisher, tmp_path: Path
):
    copy = tmp_path / "state" / "config"
    await publisher.record(1)
    await publisher.head(1)
    async with Bus(BusSettings(server.url)) as bus, contextlib.aclosing(ConfigFeed(bus, copy).events()) as events:
        await following(events)
    await publisher.record(2)
    await publisher.head(2)
    async with Bus(BusSettings(server.url)) as bus, contextlib.aclosing(ConfigFeed(bus, copy).events()) as events:
        first = await following(events)
        assert isinstance(first, FullState)
        assert (first.from_disk, first.revision) == (True, 1)
        step = await following(events)
        assert isinstance(step, ChangeSet)
        assert (step.previous, step.revision, len(step.changes)) == (1, 2, 1)
