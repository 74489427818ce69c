"""The view of the bucket of registrations, without NATS: what counts, and what survives a restart."""

from dataclasses import replace

import msgspec
from meshcore.bus.connection import Bus, BusSettings
from meshcore.bus.watch import BucketEntry
from pilot.adapters.endpoints_bucket import EndpointsBucket, Heartbeat, entry_key, heartbeat_key
from pilot.core.registration import Entry

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
    view = bucket()
    assert not view._take(BucketEntry(KEY, b"{}", 1))
    assert view.entries == []


def test_a_heartbeat_counts_from_when_it_is_seen_and_ends_with_its_process():
    view = bucket()
    beat = Heartbeat("pilot-1", "pilot-1/w0", 1)
    view._take(BucketEntry(heartbeat_key(beat.process), msgspec.json.encode(beat), 1))
    assert view.beating("pilot-1/w0", 1.0)
    assert view.instances(1.0) == {"pilot-1"}
    view._take(BucketEntry(heartbeat_key(beat.process), None, 2))
    assert not view.beating("pilot-1/w0", 1.0)


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
