"""Keys in the background: fetched at once, again and again, kept through failures and restarts, never in the way."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.runtime import tasks
from meshcore.testing.ads_client import AdsClient, node
from meshcore.testing.key_server import key_server
from meshcore.xds import delta
from meshcore.xds.types import LISTENER_TYPE
from pilot.adapters.hub import Hub
from pilot.adapters.issuer_fetch import IssuerFetch
from pilot.adapters.issuer_key_source import KEPT_FOR, LAST_PAUSE, IssuerKeySource
from pilot.core.admission import Admission
from pilot.core.compiler import compile_resources
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affects
from pilot.core.issuer_keys import KeySource
from pilot.core.node import parse_node

X, Y = "RjLyiQKbTw8VRXC4xcbUDl1OoHtSm2orq1uNk8ApgTs", "EvpkPkwAvKNv6K11YRHAKT4P0GufNX6Sc4Vh7AmLIZE"
"""A point of P-256."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def key_set(name):
    return json.dumps({"keys": [{"kty": "EC", "kid": name, "crv": "P-256", "x": X, "y": Y}]}, sort_keys=True)


@pytest.fixture
def issuers():
    with key_server(key_set) as server:
        yield server


class Pilot:
    """A hub with keys, fed by hand; `now` decides what is due, and stands still but for `later`."""

    def __init__(self, copy=None, every=timedelta(minutes=20)):
        self.hub = Hub(Engine(compile_resources, affects, Debounce(0.01, 1)), Admission(0, 0))
        self.now = float(int(time.time()))
        self.keys = IssuerKeySource(self.hub, IssuerFetch(), every, copy, clock=lambda: self.now)
        self.revision = 0

    def start(self):
        self.hub.take_state(FullState("s", 1, "", {}))
        self.revision = 1

    def policy(self, *rules, namespace="shop", name="p"):
        spec = {"jwtRules": list(rules)}
        document = {
            "apiVersion": "security.istio.io/v1",
            "kind": "RequestAuthentication",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        self.revision += 1
        key = Key("security.istio.io", "requestauthentications", namespace, name)
        record = make_record(kv_key(*key), "s", self.revision, document, "", NOW)
        changes = (Change(key, record, None),)
        self.hub.take_changes(ChangeSet("s", self.revision, self.revision - 1, "", NOW, changes))

    def connect(self, namespace="shop"):
        node = {
            "id": f"sidecar~10.0.0.1~a.{namespace}~{namespace}.svc.cluster.local",
            "metadata": {"NAMESPACE": namespace},
        }
        return self.hub.connect(parse_node(node), delta, "127.0.0.1")[0]

    @property
    def known(self):
        return self.hub.engine.snapshot.keys

    async def until(self, what):
        async with asyncio.timeout(60):
            while not what():  # noqa: ASYNC110 - the engine has no event for it
                await asyncio.sleep(0.01)

    def later(self, seconds):
        """As if so much time had passed."""
        self.now += seconds
        self.hub.keys_wanted.set()


async def test_keys_are_fetched_when_a_policy_comes_and_forgotten_when_it_goes(issuers):
    pilot = Pilot()
    pilot.start()
    source = KeySource("bank.test", f"{issuers.url}/bank")
    async with tasks.background(pilot.keys.run(), name="keys"):
        pilot.policy({"issuer": source.issuer, "jwksUri": source.uri})
        await pilot.until(lambda: source in pilot.known.sets)
        assert pilot.known.sets[source] == key_set("bank")
        pilot.policy({"issuer": "inline.test", "jwks": key_set("a")})
        await pilot.until(lambda: source not in pilot.known.sets)
    assert issuers.asked == {"/bank": 1}


async def test_keys_are_fetched_again_and_only_others_are_pushed(issuers):
    pilot = Pilot(every=timedelta(seconds=60))
    pilot.start()
    stream, elsewhere = pilot.connect(), pilot.connect("books")
    source = KeySource("bank.test", f"{issuers.url}/bank")
    async with tasks.background(pilot.keys.run(), name="keys"):
        pilot.policy({"issuer": source.issuer, "jwksUri": source.uri})
        await pilot.until(lambda: source in pilot.known.sets)
        pilot.hub.engine.release_pushes()
        pilot.hub.engine.take_push(stream)
        known = pilot.known
        pilot.later(60)
        await pilot.until(lambda: issuers.asked["/bank"] == 2 and not pilot.keys.fetching)
        assert pilot.known is known
        assert pilot.hub.engine.release_pushes() == []
        issuers.answers["/bank"] = lambda: (200, {}, key_set("new").encode())
        pilot.later(60)
        await pilot.until(lambda: pilot.known is not known)
        assert pilot.hub.engine.release_pushes() == [stream.number]
        assert pilot.hub.engine.take_push(elsewhere) is None
        assert pilot.known.sets[source] == key_set("new")


async def test_attack_32_older_keys_outlive_an_issuer_for_seven_days_and_no_longer(issuers):
    pilot = Pilot()
    pilot.start()
    source = KeySource("bank.test", f"{issuers.url}/bank")
    async with tasks.background(pilot.keys.run(), name="keys"):
        pilot.policy({"issuer": source.issuer, "jwksUri": source.uri})
        await pilot.until(lambda: source in pilot.known.sets)
        issuers.answers["/bank"] = lambda: (500, {}, b"")
        pilot.later(3600)
        await pilot.until(lambda: source in pilot.known.faults)
        assert pilot.known.faults[source] == "the answer has status 500"
        assert pilot.known.sets[source] == key_set("bank")
        pilot.later(KEPT_FOR.total_seconds())
        await pilot.until(lambda: source not in pilot.known.sets)
        del issuers.answers["/bank"]
        pilot.later(7200)
        await pilot.until(lambda: source in pilot.known.sets)
        assert source not in pilot.known.faults


async def test_what_cannot_be_fetched_is_tried_again_seven_times_soon_and_then_after_a_minute(issuers):
    pilot = Pilot()
    pilot.start()
    issuers.answers["/bank"] = lambda: (404, {}, b"")
    async with tasks.background(pilot.keys.run(), name="keys"):
        pilot.policy({"issuer": "bank.test", "jwksUri": f"{issuers.url}/bank"})
        for tried in range(1, 9):
            await pilot.until(lambda tried=tried: issuers.asked["/bank"] == tried and not pilot.keys.fetching)
            pilot.later(1)
        pilot.later(50)
        await asyncio.sleep(0)
        assert issuers.asked["/bank"] == 8
        pilot.later(10)
        await pilot.until(lambda: issuers.asked["/bank"] == 9)


class Confused:
    """A fetch that fails in a way that nobody has thought of."""

    def __init__(self):
        self.tries = 0

    async def keys(self, source, limit):
        self.tries += 1
        raise RuntimeError("a bug of ours")


async def test_a_fetch_that_fails_otherwise_is_tried_again_like_any_other(issuers):
    pilot = Pilot()
    pilot.keys._fetch = confused = Confused()
    pilot.start()
    source = KeySource("bank.test", f"{issuers.url}/bank")
    async with tasks.background(pilot.keys.run(), name="keys"):
        pilot.policy({"issuer": source.issuer, "jwksUri": source.uri})
        await pilot.until(lambda: confused.tries)
        for _ in range(100):
            await asyncio.sleep(0)
        assert confused.tries == 1
        assert pilot.known.faults[source] == "RuntimeError"
        pilot.later(1)
        await pilot.until(lambda: confused.tries == 2)


async def test_a_clock_that_is_set_back_does_not_put_fetches_off(issuers):
    """The machine's clock was a month ahead."""
    pilot = Pilot()
    pilot.later(30 * 24 * 3600)
    pilot.start()
    source = KeySource("bank.test", f"{issuers.url}/bank")
    async with tasks.background(pilot.keys.run(), name="keys"):
        pilot.policy({"issuer": source.issuer, "jwksUri": source.uri})
        await pilot.until(lambda: source in pilot.known.sets and not pilot.keys.fetching)
        pilot.later(-30 * 24 * 3600)
        await pilot.until(lambda: not pilot.hub.keys_wanted.is_set())
        pilot.later(max(LAST_PAUSE, 20 * 60))
        await pilot.until(lambda: issuers.asked["/bank"] == 2)


async def test_a_policy_waits_for_the_first_try_of_its_keys_and_nobody_else_does(issuers):
    """Else the policy would refuse good tokens until its keys come."""
    pilot = Pilot()
    pilot.start()
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly():
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(10)
        return 200, {}, key_set("bank").encode()

    issuers.answers["/bank"] = slowly
    inside, outside = pilot.connect(), pilot.connect("books")
    source = KeySource("bank.test", f"{issuers.url}/bank")
    async with tasks.background(pilot.keys.run(), name="keys"):
        pilot.policy({"issuer": source.issuer, "jwksUri": source.uri})
        pilot.policy({"issuer": "inline.test", "jwks": key_set("a")}, namespace="books", name="q")
        assert pilot.hub.engine.release_pushes() == [outside.number]
        assert await pilot.hub.keys_tried(outside, 0)
        assert not await pilot.hub.keys_tried(inside, 0.05)
        gate.set()
        assert await pilot.hub.keys_tried(inside, 10)
        assert pilot.hub.engine.release_pushes() == [inside.number]
        assert source in pilot.known.sets


async def test_a_workload_connects_in_vain_until_its_keys_were_tried_and_others_do_not_wait(serve_mesh):
    """It would be given a policy without keys, and refuse the tokens that it takes now."""
    source = KeySource("bank.test", "https://bank.test/keys")
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"jwtRules": [{"issuer": source.issuer, "jwksUri": source.uri}]},
    }
    key = Key("security.istio.io", "requestauthentications", "shop", "p")
    async with serve_mesh() as mesh:
        mesh.hub.engine.key_demand.is_served = True
        record = make_record(kv_key(*key), "s", 2, policy, "", NOW)
        mesh.hub.take_changes(ChangeSet("s", 2, 1, "", NOW, (Change(key, record, None),)))
        async with AdsClient(mesh.plaintext, node("inside", "shop")) as inside:
            async with AdsClient(mesh.plaintext, node("outside", "books")) as outside:
                await outside.until(lambda: outside.names(LISTENER_TYPE))
            assert not inside.responses
            mesh.hub.take_keys(mesh.hub.engine.snapshot.keys.failing({source: "not there"}))
            await inside.until(lambda: inside.names(LISTENER_TYPE))


async def test_a_policy_waits_no_longer_when_the_first_try_failed(issuers):
    pilot = Pilot()
    pilot.start()
    issuers.answers["/bank"] = lambda: (404, {}, b"")
    stream = pilot.connect()
    async with tasks.background(pilot.keys.run(), name="keys"):
        pilot.policy({"issuer": "bank.test", "jwksUri": f"{issuers.url}/bank"})
        assert pilot.hub.engine.release_pushes() == []
        assert await pilot.hub.keys_tried(stream, 10)
        assert pilot.hub.engine.release_pushes() == [stream.number]


async def test_keys_outlive_a_restart_while_the_issuer_is_away(issuers, tmp_path):
    copy = tmp_path / "keys.json"
    source = KeySource("bank.test", f"{issuers.url}/bank")
    first = Pilot(copy)
    first.start()
    async with tasks.background(first.keys.run(), name="keys"):
        first.policy({"issuer": source.issuer, "jwksUri": source.uri})
        await first.until(copy.exists)
    issuers.answers["/bank"] = lambda: (503, {}, b"")
    second = Pilot(copy)
    assert second.known.sets == {source: key_set("bank")}
    second.start()
    second.policy({"issuer": source.issuer, "jwksUri": source.uri})
    assert await second.hub.keys_tried(second.connect(), 0)
    async with tasks.background(second.keys.run(), name="keys"):
        await second.until(lambda: source in second.known.faults)
        assert second.known.sets[source] == key_set("bank")


@pytest.mark.parametrize(
    "content", ["", "{}", "[7]", '[{"issuer": "a"}]', '[{"issuer":"a","uri":"b","fetched":9e9,"keys":"x"}]']
)
async def test_a_copy_that_is_no_good_is_passed_over(tmp_path, content):
    copy = tmp_path / "keys.json"
    copy.write_text(content)
    assert Pilot(copy).known.sets == {}
