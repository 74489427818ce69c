"""One holder at a time; the next one goes on with the notes of the last."""

import pytest
from meshcore.bus.connection import Bus, BusSettings
from meshcore.xds.origin import ConfigRef
from nats.js.api import KeyValueConfig
from pilot.adapters.answers import Gathered
from pilot.adapters.endpoints_bucket import BUCKET, EndpointsBucket
from pilot.adapters.galley_api import TOKEN_FILE
from pilot.adapters.lease import MISSED, Lease
from pilot.adapters.status_writer import LEASE, StatusWriter
from pilot.core.object_status import StatusWrite, writes
from pilot.settings import PilotSettings


async def test_a_lease_changes_hands_when_its_holder_is_silent(nats, reached):
    async with Bus(BusSettings(nats.url)) as bus:
        await bus.connected()
        await bus.jetstream().create_key_value(KeyValueConfig(bucket=BUCKET))
        first, second = (Lease(bus, "test", name) for name in ("pilot-1", "pilot-2"))
        assert await first.hold()
        assert await first.hold({"VirtualService/shop/a": "bad"})
        for _ in range(5):
            assert not await second.hold(), "the holder is alive"
            assert await first.hold({"VirtualService/shop/a": "bad"})
        silent = [await second.hold() for _ in range(MISSED + 1)]
        assert silent == [False] * MISSED + [True]
        assert second.notes == {"VirtualService/shop/a": "bad"}
        assert not await first.hold({}), "it has been taken over"
        restarted = Lease(bus, "test", "pilot-2")
        assert await restarted.hold()
        assert restarted.notes == {"VirtualService/shop/a": "bad"}


async def test_two_that_want_it_at_once_do_not_both_get_it(nats):
    async with Bus(BusSettings(nats.url)) as bus:
        await bus.connected()
        await bus.jetstream().create_key_value(KeyValueConfig(bucket=BUCKET))
        one, other = (Lease(bus, "test", name) for name in ("pilot-1", "pilot-2"))
        assert [await one.hold(), await other.hold()] == [True, False]


async def test_leases_are_no_registrations(nats):
    async with Bus(BusSettings(nats.url)) as bus:
        await bus.connected()
        await bus.jetstream().create_key_value(KeyValueConfig(bucket=BUCKET))
        await Lease(bus, "test", "pilot-1").hold()
        bucket = EndpointsBucket(bus, None, lambda: None)
        from meshcore.bus.watch import BucketEntry

        assert bucket._take(BucketEntry("l.test", b"anything", 9)) is False
        assert bucket.entries == []


class Refusing:
    """One process whose proxies refuse one VirtualService."""

    async def ask(self, what, parameters, seconds):
        row = {"config": "VirtualService/shop/a", "type": "rds", "resources": ["80"], "message": "bad"}
        return Gathered({"pilot-1": [{**row, "count": 1, "proxies": ["p.shop"]}]})


async def test_who_follows_a_writer_that_died_in_a_write_knows_which_status_it_was_at(nats, tmp_path):
    async with Bus(BusSettings(nats.url)) as bus:
        await bus.connected()
        await bus.jetstream().create_key_value(KeyValueConfig(bucket=BUCKET))
        settings = PilotSettings(identity_dir=tmp_path, galley_url="https://127.0.0.1:1", instance="pilot-1")
        with pytest.raises(FileNotFoundError, match=TOKEN_FILE):
            await StatusWriter(bus, Refusing(), settings)._look()
        next_one = Lease(bus, LEASE, "pilot-1")
        assert await next_one.hold()
        written = {ConfigRef.parse(key): message for key, message in next_one.notes.items()}
        refused = ConfigRef.parse("VirtualService/shop/a")
        assert writes({}, written, whole=True) == (StatusWrite(refused, ""),)
        assert writes({refused: "bad"}, written, whole=True) == (StatusWrite(refused, "bad"),)
