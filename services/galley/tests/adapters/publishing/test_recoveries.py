"""What NATS may do to messages, and a publisher that sleeps may do to the bucket: a record or a head is lost, repeated
or old, the bucket is gone while the connection stays. No consumer shows a mixture, each comes to the truth, and the
bucket is put right."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from galley.adapters.bucket import ConfigBucket
from galley.core.storage import Verb, WriteOp
from meshcore.bus.config_list import NobodyAnswers, request_list
from meshcore.bus.connection import Bus
from meshcore.bus.subjects import CONFIG_BUCKET
from meshcore.distribution.keys import HEAD_KEY
from meshcore.distribution.records import Head, decode_record, encode_head
from meshcore.distribution.state_copy import StateCopy
from meshcore.runtime.tasks import background
from meshcore.testing.nats import NatsServer
from meshcore.testing.postgres import PostgresServer

from .conftest import Consumer, Galley, consuming, eventually, galley, key, write

AB = ("a", "b")
BOTH = [{}, {"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 3, "b": 3}]
"""Every state that the store ever has in a test that writes its two objects together."""


async def write_both(running: Galley, value: int) -> None:
    verb = Verb.CREATE if value == 1 else Verb.UPDATE
    await running.store.write([write(verb, name, value) for name in AB], "x")


async def put_right(running: Galley, bus: Bus) -> None:
    """Until the bucket says what the store says, tombstones aside."""
    bucket = await ConfigBucket.open(bus)
    truth = (await running.store.published_state()).records

    async def same() -> bool:
        found = {name: decode_record(name, message) for name, message in (await bucket.list()).items()}
        return {name: record for name, record in found.items() if not record.deleted} == truth

    await eventually(same)


def every_revision_once(consumer: Consumer) -> None:
    revisions = [revision for revision, _ in consumer.shown]
    assert revisions == sorted(set(revisions))


class ForgetfulBucket(ConfigBucket):
    """NATS acknowledges the messages of these keys and keeps nothing of them."""

    forgets: set[str]

    async def send(self, name: str, message: bytes) -> None:
        if name not in self.forgets:
            await super().send(name, message)

    async def put(self, name: str, message: bytes) -> None:
        if name not in self.forgets:
            await super().put(name, message)

    async def put_head(self, head: Head, sequence: int, behind: int | None = None) -> int:
        return sequence + 1 if HEAD_KEY in self.forgets else await super().put_head(head, sequence, behind)


class BriefBucket(ConfigBucket):
    """Counts the answers that the publisher waits for."""

    answers = 0

    async def put(self, name: str, message: bytes) -> None:
        BriefBucket.answers += 1
        await super().put(name, message)

    async def put_head(self, head: Head, sequence: int, behind: int | None = None) -> int:
        BriefBucket.answers += behind is not None
        return await super().put_head(head, sequence, behind)


async def test_a_change_is_published_with_one_answer_for_all_of_its_messages(server: NatsServer, tmp_path: Path):
    async with galley(server, tmp_path, BriefBucket.open) as running, consuming(server) as consumer:
        await consumer.until(lambda c: c.revision == 0)
        BriefBucket.answers = 0
        for value in (1, 2, 3):
            await write_both(running, value)
            await consumer.until(lambda c, value=value: c.values == BOTH[value])
        assert BriefBucket.answers == 3


class LossyBucket(ConfigBucket):
    """Every other message that is sent without waiting for an answer does not arrive."""

    sent = 0

    async def send(self, name: str, message: bytes) -> None:
        self.sent += 1
        if self.sent % 2:
            await super().send(name, message)


async def test_what_was_lost_before_its_head_is_sent_again_before_the_head_is_taken(
    server: NatsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    async with galley(server, tmp_path, LossyBucket.open) as running, consuming(server) as consumer:
        for value in (1, 2, 3):
            await write_both(running, value)
            await consumer.until(lambda c, value=value: c.values == BOTH[value])
        assert all(values in BOTH for _, values in consumer.shown)
        every_revision_once(consumer)
        await put_right(running, running.bus)
    assert "asking galley" not in capsys.readouterr().out


@pytest.mark.parametrize("lost", [str(key("a")), HEAD_KEY])
async def test_what_nats_acknowledged_and_lost_comes_from_galley_and_is_put_back(
    server: NatsServer, tmp_path: Path, lost: str
):
    ForgetfulBucket.forgets = set()
    async with galley(server, tmp_path, ForgetfulBucket.open) as running, consuming(server) as consumer:
        await write_both(running, 1)
        await consumer.until(lambda c: c.values == BOTH[1])
        ForgetfulBucket.forgets = {lost}
        await write_both(running, 2)
        await running.published(2)
        ForgetfulBucket.forgets = set()
        await consumer.until(lambda c: c.values == BOTH[2])
        await write_both(running, 3)
        await consumer.until(lambda c: c.values == BOTH[3])
        assert all(values in BOTH for _, values in consumer.shown)
        every_revision_once(consumer)
        await put_right(running, running.bus)


async def test_a_lost_record_is_noticed_although_writes_never_pause(
    server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("meshcore.bus.feed.LONGEST_WAIT", 1.0)
    ForgetfulBucket.forgets = set()
    async with galley(server, tmp_path, ForgetfulBucket.open) as running, consuming(server) as consumer:
        await write_both(running, 1)

        async def write_on() -> None:
            for number in itertools.count():
                await running.store.write([write(Verb.UPDATE if number else Verb.CREATE, "c", number)], "x")
                await asyncio.sleep(0.05)

        async with background(write_on(), name="writer"):
            await consumer.until(lambda c: c.values.get("c", 0) > 3)
            ForgetfulBucket.forgets = {str(key("a"))}
            await write_both(running, 2)
            await running.published(await running.store.revision())
            ForgetfulBucket.forgets = set()
            await consumer.until(lambda c: c.values["a"] == 2)
            seen = consumer.values["c"]
            await consumer.until(lambda c: c.values["c"] > seen + 3)
        every_revision_once(consumer)
        assert all(values.get("a") == values.get("b") for _, values in consumer.shown)
        await put_right(running, running.bus)


class RepeatingBucket(ConfigBucket):
    """Every message comes twice."""

    async def send(self, name: str, message: bytes) -> None:
        await super().send(name, message)
        await super().send(name, message)

    async def put(self, name: str, message: bytes) -> None:
        await super().put(name, message)
        await super().put(name, message)

    async def put_head(self, head: Head, sequence: int, behind: int | None = None) -> int:
        return await super().put_head(head, await super().put_head(head, sequence, behind))


async def test_messages_that_come_twice_change_nothing_twice(
    server: NatsServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    async with galley(server, tmp_path, RepeatingBucket.open) as running, consuming(server) as consumer:
        for value in (1, 2, 3):
            await write_both(running, value)
        await running.store.write([WriteOp(Verb.DELETE, key("b"))], "x")
        await consumer.until(lambda c: c.values == {"a": 3})
        assert all(values in (*BOTH, {"a": 3}) for _, values in consumer.shown)
        every_revision_once(consumer)
    assert "asking galley" not in capsys.readouterr().out


class LateBucket(ConfigBucket):
    """Behind every record comes the one before it of the same key, as from a publisher that slept over its lease."""

    before: dict[str, bytes]

    async def send(self, name: str, message: bytes) -> None:
        await self._late(super().send, name, message)

    async def put(self, name: str, message: bytes) -> None:
        await self._late(super().put, name, message)

    async def _late(self, write: Callable[[str, bytes], Awaitable[None]], name: str, message: bytes) -> None:
        await write(name, message)
        if name in self.before:
            await write(name, self.before[name])
        self.before[name] = message


async def test_an_older_revision_of_a_key_is_ignored_and_does_not_stay(server: NatsServer, tmp_path: Path):
    LateBucket.before = {}
    async with galley(server, tmp_path, LateBucket.open) as running, consuming(server) as consumer:
        await write_both(running, 1)
        await consumer.until(lambda c: c.values == BOTH[1])
        await write_both(running, 2)
        await running.store.write([WriteOp(Verb.DELETE, key("b"))], "x")
        await consumer.until(lambda c: c.values == {"a": 2})
        async with consuming(server) as newcomer:
            await newcomer.until(lambda c: c.values == {"a": 2})
            assert [values for _, values in newcomer.shown] == [{"a": 2}]
        LateBucket.before = {}
        await put_right(running, running.bus)
        assert all(values in (*BOTH, {"a": 2}) for _, values in consumer.shown)
        every_revision_once(consumer)


async def test_an_old_head_with_a_lower_fencing_number_moves_no_consumer_and_is_written_over(
    server: NatsServer, tmp_path: Path
):
    async with galley(server, tmp_path) as running:
        await write_both(running, 1)
        await running.published(1)
        bucket = await ConfigBucket.open(running.bus)
        old = (await bucket.head()).head
        assert old is not None
    async with galley(server, tmp_path) as running, consuming(server) as consumer:
        await write_both(running, 2)
        await consumer.until(lambda c: c.values == BOTH[2])
        bucket = await ConfigBucket.open(running.bus)
        await bucket.put(HEAD_KEY, encode_head(old))

        async def written_over() -> bool:
            head = (await bucket.head()).head
            return head is not None and (head.revision, head.fencing) == (2, old.fencing + 1)

        await eventually(written_over)
        await write_both(running, 3)
        await consumer.until(lambda c: c.values == BOTH[3])
        every_revision_once(consumer)


async def test_a_bucket_deleted_under_live_connections_is_made_anew_and_watched_again(
    server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("meshcore.bus.feed.SILENCE", 3.0)  # a head comes every 2 s
    async with galley(server, tmp_path) as running, consuming(server) as consumer:
        await write_both(running, 1)
        await consumer.until(lambda c: c.values == BOTH[1])
        await running.bus.jetstream().delete_key_value(CONFIG_BUCKET)
        await write_both(running, 2)
        await consumer.until(lambda c: c.values == BOTH[2])
        await put_right(running, running.bus)
        await write_both(running, 3)
        await consumer.until(lambda c: c.values == BOTH[3])
        every_revision_once(consumer)
        assert (running.bus.generation, consumer.bus.generation) == (1, 1)


async def test_galley_publishes_and_answers_again_after_nats_refused_its_connection_for_good(
    server: NatsServer, tmp_path: Path
):
    async with galley(server, tmp_path) as running, consuming(server) as consumer:
        await write_both(running, 1)
        await consumer.until(lambda c: c.values == BOTH[1])
        refused = running.bus.client
        config = server.directory / "nats.conf"
        config.write_text(config.read_text().replace("galley-secret", "another-secret"))
        (server.directory / "galley.json").write_text(json.dumps({"user": "galley", "password": "another-secret"}))
        server.send(signal.SIGHUP)
        await asyncio.wait_for(running.bus.replaced(refused), 90)
        await write_both(running, 2)
        await consumer.until(lambda c: c.values == BOTH[2])
        answers: list[StateCopy] = []

        async def answered() -> bool:
            with contextlib.suppress(NobodyAnswers):
                answers.append(await request_list(consumer.bus))
            return bool(answers)

        await eventually(answered)
        assert answers[0].revision == 2


class SleepingBucket(ConfigBucket):
    """Its publisher falls asleep between the two records of a change set."""

    asleep: asyncio.Event
    wakes: asyncio.Event
    tired = False

    async def send(self, name: str, message: bytes) -> None:
        if SleepingBucket.tired and name == str(key("b")):
            self.asleep.set()
            await self.wakes.wait()
        await super().send(name, message)


async def test_a_publisher_that_sleeps_over_its_lease_in_the_middle_of_a_change_set_spoils_nothing(
    server: NatsServer, tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("galley.adapters.publisher.LEASE_LENGTH", timedelta(seconds=1))
    monkeypatch.setattr("galley.adapters.publisher.RENEW_EVERY", 0.3)
    SleepingBucket.asleep, SleepingBucket.wakes, SleepingBucket.tired = asyncio.Event(), asyncio.Event(), False
    url = postgres.new_database()
    async with galley(server, tmp_path, SleepingBucket.open, url=url) as old, consuming(server) as consumer:
        await write_both(old, 1)
        await consumer.until(lambda c: c.values == BOTH[1])
        SleepingBucket.tired = True
        await write_both(old, 2)
        await SleepingBucket.asleep.wait()
        async with galley(server, tmp_path, url=url, holder="galley-1") as new:
            await consumer.until(lambda c: c.values == BOTH[2])
            await write_both(new, 3)
            await consumer.until(lambda c: c.values == BOTH[3])
            SleepingBucket.tired = False
            SleepingBucket.wakes.set()  # and its record of `b` at revision 2 goes over that of revision 3

            async def stepped_down() -> bool:
                return not old.publisher.status().leading

            await eventually(stepped_down)
            assert new.publisher.status().leading
            async with consuming(server) as newcomer:
                await newcomer.until(lambda c: c.values == BOTH[3])
                assert [values for _, values in newcomer.shown] == [BOTH[3]]
            await put_right(new, new.bus)
            assert all(values in BOTH for _, values in consumer.shown)
            every_revision_once(consumer)
