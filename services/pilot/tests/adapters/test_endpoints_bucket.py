"""The view of the bucket of registrations, without NATS: what counts, and what survives a restart."""

import time
from dataclasses import replace

import msgspec
import pytest
from meshcore.bus.connection import Bus, BusSettings
from meshcore.bus.watch import BucketEntry
from meshcore.runtime import tasks
from meshcore.testing.ads_client import node
from pilot.adapters.endpoints_bucket import BUCKET, EndpointsBucket, Heartbeat, Held, entry_key, heartbeat_key
from pilot.adapters.registered import Registered
from pilot.core.node import parse_node
from pilot.core.registration import Entry, entry_of, may_replace
from pilot.settings import PilotSettings

ENTRY = Entry("shop", "reviews-10.0.0.1", "reviews", "10.0.0.1", "pilot-1", 1, {"app": "reviews"})
KEY = entry_key(ENTRY.key)


def bucket(path=None):
    return EndpointsBucket(Bus(BusSettings("nats://127.0.0.1:1")), path, lambda: None)


def message(entry, sequence):
    return BucketEntry(KEY, None if entry is None else msgspec.json.encode(entry), sequence)


def test_an_older_message_never_replaces_a_newer_one():
    view = bucket()
    assert view._take(message(replace(ENTRY, healthy=False), 7))
    assert not view._take(message(ENTRY, 6))
    assert not view._take(message(None, 6))
    assert view.find(ENTRY.key).sequence == 7
    assert view._take(message(None, 8))
    assert view.entries == []


def test_names_are_escaped_into_keys():
    assert entry_key(("shop", "reviews-10.0.0.1")) == "e.shop.reviews-10=2E0=2E0=2E1"
    assert heartbeat_key("pilot-1/w0") == "h.pilot-1=2Fw0"


def test_a_malformed_entry_is_left_out():
    """Attack 47."""
    view = bucket()
    beat = heartbeat_key("pilot-1")
    for number, odd in enumerate((b"{}", b"", b"\xff", b"[" * 500_000, b'{"labels":' * 100_000, b"null")):
        for key in (KEY, beat, "e", "", "x.y"):
            assert not view._take(BucketEntry(key, odd, number + 1))
    assert view.entries == []
    assert view._take(message(ENTRY, 9))


def test_a_heartbeat_counts_from_when_it_is_seen_and_ends_with_its_process():
    view = bucket()
    beat = Heartbeat("pilot-1", "pilot-1/w0", 1)
    view._take(BucketEntry(heartbeat_key(beat.process), msgspec.json.encode(beat), 1))
    assert view.beating("pilot-1/w0", 60.0)
    assert view.instances(60.0) == {"pilot-1"}
    view._take(BucketEntry(heartbeat_key(beat.process), None, 2))
    assert not view.beating("pilot-1/w0", 60.0)


def test_only_news_of_entries_is_what_others_are_asked_for():
    view = bucket()
    view._take(message(ENTRY, 3))
    beat = Heartbeat("pilot-1", "pilot-1/w0", 1)
    view._take(BucketEntry(heartbeat_key(beat.process), msgspec.json.encode(beat), 4))
    view._take(BucketEntry(KEY + "x", b"malformed", 5))
    assert not view._take(message(ENTRY, 3))
    assert view.sequence == 3
    assert view._take(message(ENTRY, 6))
    assert view.sequence == 6


async def test_the_last_copy_brings_the_entries_back(tmp_path):
    path = tmp_path / "registered.json"
    view = bucket(path)
    view._take(message(ENTRY, 3))
    await view.save()
    assert path.stat().st_mode & 0o777 == 0o600
    again = bucket(path)
    again.load_last_copy()
    assert again.entries == [ENTRY]
    path.write_text("torn")
    broken = bucket(path)
    broken.load_last_copy()
    assert broken.entries == []


async def test_a_copy_that_could_not_be_written_is_written_as_soon_as_it_can_be(tmp_path):
    path = tmp_path / "state" / "registered.json"
    view = bucket(path)
    view._take(message(ENTRY, 3))
    with pytest.raises(OSError, match="registered"):
        await view.save()
    path.parent.mkdir()
    await view.save()
    again = bucket(path)
    again.load_last_copy()
    assert again.entries == [ENTRY]


async def test_nothing_is_deleted_while_its_place_in_the_bucket_is_not_known(monkeypatch):
    view = bucket()
    monkeypatch.setattr(view, "_store", None)
    assert not await view.delete(Held(ENTRY, 0))


def test_a_connection_is_newer_than_what_it_finds_even_where_that_pilots_clock_is_ahead():
    view = bucket()
    who = parse_node(node("a", "shop", address="10.0.0.1", AUTO_REGISTER_GROUP="reviews", GENERATOR="agent"))
    ahead = entry_of(who, "pilot-2", time.time_ns() + 3600 * 10**9, healthy=True)
    view._take(BucketEntry(entry_key(ahead.key), msgspec.json.encode(ahead), 1))
    registered = Registered(None, None, view, PilotSettings(), "pilot-1")
    entry = entry_of(who, "pilot-1", registered._next_connection(who), healthy=True)
    assert may_replace(entry, ahead)


async def test_a_bucket_that_is_deleted_under_the_watch_comes_back_with_its_entries(nats, reached):
    async with Bus(BusSettings(nats.url)) as bus:
        view = EndpointsBucket(bus, None, lambda: None, silence=0.3)
        async with tasks.background(view.watch(), name="watch"):
            await reached(lambda: view.in_sync_since is not None)
            assert await view.put(ENTRY, await view.put(ENTRY, 0)) == 2
            await bus.jetstream().delete_stream(f"KV_{BUCKET}")
            await reached(lambda: view.find(ENTRY.key).sequence == 1)
            assert view.entries == [ENTRY]
