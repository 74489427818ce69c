"""Addresses are told once, whoever has told them, and not while proxies are served."""

import contextlib
from types import SimpleNamespace

import httpx
import pytest
from meshcore.bus.connection import Bus, BusSettings
from meshcore.model.load import parse_object
from nats.js.api import KeyValueConfig
from pilot.adapters import address_writer
from pilot.adapters.address_writer import LEASE, AddressWriter
from pilot.adapters.endpoints_bucket import BUCKET
from pilot.adapters.lease import Lease
from pilot.core.leisure import LONGEST
from pilot.core.snapshot import MeshSnapshot
from pilot.settings import PilotSettings


def entry(name, **metadata):
    spec = {"hosts": [f"{name}.example"], "resolution": "DNS", "ports": [{"number": 80, "name": "http"}]}
    document = {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "spec": spec}
    return parse_object(document | {"metadata": {"name": name, "namespace": "shop", "uid": name} | metadata})


class Galley:
    """What it was told, by names of objects; after `until` answers it calls `then`."""

    def __init__(self, monkeypatch):
        self.told = []
        self.until, self.then = 0, lambda: None
        monkeypatch.setattr(address_writer, "galley_api", self.opened)

    @contextlib.asynccontextmanager
    async def opened(self, _):
        yield self

    async def patch(self, path, *, json, headers):
        self.told.append(path.split("/")[-2])
        if len(self.told) == self.until:
            self.then()
        assert json["status"]["addresses"]
        return httpx.Response(200)

    def taken(self):
        told, self.told = self.told, []
        return told


class Mesh:
    """The hub, as the writer sees it, and Pilots that follow one another."""

    def __init__(self, bus):
        self.bus = bus
        self.hub = SimpleNamespace(
            has_state=SimpleNamespace(is_set=lambda: True), engine=SimpleNamespace(snapshot=None), is_busy=False
        )

    def has(self, *entries):
        self.hub.engine.snapshot = MeshSnapshot.of(entries)

    async def started(self):
        writer = AddressWriter(self.bus, self.hub, PilotSettings(), "pilot-1")
        assert await writer._lease.hold()
        return writer


@pytest.fixture
async def mesh(nats):
    async with Bus(BusSettings(nats.url)) as bus:
        await bus.connected()
        await bus.jetstream().create_key_value(KeyValueConfig(bucket=BUCKET))
        yield Mesh(bus)


async def test_a_restarted_pilot_tells_only_what_has_changed(mesh, monkeypatch):
    galley = Galley(monkeypatch)
    mesh.has(*map(entry, "abc"))
    first = await mesh.started()
    await first._look()
    assert galley.taken() == ["a", "b", "c"]
    await first._look()
    mesh.has(*map(entry, "abcd"))
    await first._look()
    assert galley.taken() == ["d"]

    await (await mesh.started())._look()
    assert galley.taken() == []
    mesh.has(entry("a"), entry("b", uid="another"), entry("c"), entry("d"))
    after = await mesh.started()
    await after._look()
    assert "b" in galley.told
    assert {"a", "c", "d"} - set(galley.taken()), "what is of other groups stays told"


async def test_an_object_that_was_made_anew_is_told_again_in_the_same_run(mesh, monkeypatch):
    galley = Galley(monkeypatch)
    mesh.has(*map(entry, "ab"))
    writer = await mesh.started()
    await writer._look()
    galley.taken()
    mesh.has(entry("a"), entry("b", uid="another"))
    await writer._look()
    assert galley.taken() == ["b"]


async def test_nothing_is_told_while_proxies_are_served_and_the_rest_follows(mesh, monkeypatch):
    galley, now = Galley(monkeypatch), [1000.0]
    monkeypatch.setattr(address_writer, "time", SimpleNamespace(monotonic=lambda: now[0]))
    mesh.has(*map(entry, "abc"))
    writer = await mesh.started()
    mesh.hub.is_busy = True
    await writer._look()
    assert galley.taken() == []

    mesh.hub.is_busy = False
    galley.until, galley.then = 1, lambda: setattr(mesh.hub, "is_busy", True)
    await writer._look()
    assert galley.taken() == ["a"]
    notes = Lease(mesh.bus, LEASE, "pilot-1")
    assert await notes.hold()
    assert len(notes.notes) == 1

    await writer._look()
    assert galley.taken() == []
    now[0] += LONGEST
    await writer._look()
    assert galley.taken() == ["b", "c"]
