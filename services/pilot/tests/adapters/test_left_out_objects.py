"""Records that Galley would not publish, and objects that a compile fails on, on a real NATS: none of them stops the
others."""

from functools import partial

import pytest
from meshcore.distribution.keys import kv_key
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.origin import ConfigRef
from meshcore.xds.types import CLUSTER_TYPE, ROUTE_TYPE
from pilot.adapters import telemetry
from pilot.core.compiler import CompileCache, compile_resources, virtual_hosts
from pilot.core.object_status import LEFT_OUT, messages_of
from shop_objects import SERVICE, other_service


def virtual_service(name, **route):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"hosts": [name], "http": [{"route": [{"destination": {"host": "reviews"}}], **route}]},
    }


def nested(levels):
    deep = []
    for _ in range(levels):
        deep = [deep]
    return deep


def host(name):
    return f"{name}.shop.svc.cluster.local"


@pytest.fixture
def counted():
    """How many versions of a kind were left out since the test began."""
    before = {}

    def count(kind, code="unreadable"):
        value = telemetry.LEFT_OUT.labels(kind, code)._value.get()
        return value - before.setdefault((kind, code), value)

    count("VirtualService")
    count("VirtualService", "unexpected")
    count("Service")
    return count


async def test_records_that_cannot_be_read_are_left_out_and_all_others_go_on(
    galley, pilot, workload_credentials, counted, capfd
):
    deep = virtual_service("deep", match=nested(900))
    await galley.publish(SERVICE, virtual_service("deep"))
    async with (
        pilot() as running,
        AdsClient(running.secure, node("p", "shop"), workload_credentials()) as client,
    ):
        await client.until(lambda: host("reviews") in client.names(CLUSTER_TYPE))
        engine = running.serving.hub.engine
        key = kv_key("", "services", "shop", "filed")
        bad = await galley.publish(deep, other_service("ratings"), under={key: virtual_service("filed")})
        await client.until(lambda: host("ratings") in client.names(CLUSTER_TYPE))
        assert ("shop", "deep") in engine.snapshot.configs["VirtualService"], "its last good form is kept"
        assert host("filed") not in client.names(CLUSTER_TYPE)
        (rows,) = (await running.source.ask("refusals", {}, 0)).answers.values()
        assert [(row["config"], row["type"]) for row in rows] == [
            ("Service/shop/filed", LEFT_OUT),
            ("VirtualService/shop/deep", LEFT_OUT),
        ]
        assert "holds VirtualService/shop/filed" in rows[0]["message"]
        assert "spec.http[0].match: nested more than 100 levels deep" in rows[1]["message"]
        assert (counted("VirtualService"), counted("Service")) == (1, 1)
        receipt = await running.receipt(bad)
        assert not receipt.complete
        assert (receipt.outstanding, receipt.failed, receipt.proxies.acked) == ([], [], 1)
        assert {one.config: one.error for one in receipt.left_out} == {
            f"{row['config']}@{bad}": row["message"] for row in rows
        }

        revision = await galley.publish(other_service("details"))
        receipt = await running.receipt(revision)
        assert (receipt.complete, receipt.left_out) == (True, []), "of what was left out before it says nothing"
        assert counted("VirtualService") == 1, "what is left out is told once"

        mended = await galley.publish(virtual_service("deep"), other_service("filed"))
        await client.until(lambda: host("filed") in client.names(CLUSTER_TYPE))
        assert (await running.receipt(mended)).complete
        assert engine.snapshot.diagnostics == {}
        assert not client.ended
    told = [line for line in capfd.readouterr().out.splitlines() if "object left out" in line]
    assert len(told) == 2, told
    assert not any("[[[" in line for line in told)


async def test_a_pilot_that_starts_with_such_a_record_serves_all_others(galley, pilot, workload_credentials):
    await galley.publish(SERVICE, virtual_service("deep", match=nested(900)))
    async with (
        pilot() as running,
        AdsClient(running.secure, node("p", "shop"), workload_credentials()) as client,
    ):
        await client.until(lambda: host("reviews") in client.names(CLUSTER_TYPE))
        await galley.publish(virtual_service("deep"))
        revision = await galley.publish(other_service("ratings"))
        assert (await running.receipt(revision)).complete
        assert ("shop", "deep") in running.serving.hub.engine.snapshot.configs["VirtualService"]


OUTBOUND = "outbound|80||{}.shop.svc.cluster.local"
SECRET_WORDS = "what an object says"


@pytest.fixture
def failing(monkeypatch):
    """Compiles fail on VirtualServices that ask for this timeout."""
    make = virtual_hosts.survivors_of

    def made(config, *rest):
        if any(rule.timeout and rule.timeout.total_seconds() == 13 for rule in config.object.spec.http):
            raise KeyError(SECRET_WORDS)
        return make(config, *rest)

    monkeypatch.setattr(virtual_hosts, "survivors_of", made)


def timeouts(client):
    """Of the routes to `reviews`, in seconds."""
    hosts = client.message(ROUTE_TYPE, "80").virtual_hosts if "80" in client.names(ROUTE_TYPE) else ()
    return {one.route.timeout.seconds for host in hosts if host.name.startswith("reviews.") for one in host.routes}


async def test_an_object_that_a_compile_fails_on_costs_nobody_what_is_not_about_it(
    galley, pilot, workload_credentials, counted, failing, capfd
):
    await galley.publish(SERVICE, virtual_service("reviews", timeout="1s"))
    real = partial(compile_resources, cache=CompileCache())
    async with (
        pilot(compile_class=real) as running,
        AdsClient(running.secure, node("p", "shop"), workload_credentials()) as client,
    ):
        await client.until(lambda: timeouts(client) == {1})
        bad = await galley.publish(virtual_service("reviews", timeout="13s"), other_service("details"))
        receipt = await running.receipt(bad)
        assert OUTBOUND.format("details") in client.names(CLUSTER_TYPE)
        assert (receipt.complete, receipt.outstanding, receipt.failed) == (False, [], [])
        told = "Pilot could not take it: KeyError while config was made of it"
        assert [(one.config, one.error) for one in receipt.left_out] == [(f"VirtualService/shop/reviews@{bad}", told)]
        (rows,) = (await running.source.ask("refusals", {}, 0)).answers.values()
        assert [(row["config"], row["type"], row["message"], row["proxies"]) for row in rows] == [
            ("VirtualService/shop/reviews", LEFT_OUT, told, ["p.shop"])
        ]
        assert messages_of(rows) == {ConfigRef("VirtualService", "shop", "reviews"): f"left out: {told}"}
        assert counted("VirtualService", "unexpected") == 1

        async with AdsClient(running.secure, node("q", "other"), workload_credentials("other")) as newcomer:
            await newcomer.until(lambda: OUTBOUND.format("details") in newcomer.names(CLUSTER_TYPE))
        revision = await galley.publish(other_service("ratings"))
        receipt = await running.receipt(revision)
        assert (receipt.complete, receipt.left_out) == (True, [])
        assert OUTBOUND.format("ratings") in client.names(CLUSTER_TYPE)
        assert timeouts(client) == {1}, "its last good form is kept"
        assert counted("VirtualService", "unexpected") == 1, "it is told once"

        mended = await galley.publish(virtual_service("reviews", timeout="2s"))
        assert (await running.receipt(mended)).complete
        assert timeouts(client) == {2}
        (rows,) = (await running.source.ask("refusals", {}, 0)).answers.values()
        assert rows == []
        assert not client.ended
    told = [line for line in capfd.readouterr().out.splitlines() if "object left out" in line]
    assert len(told) == 1, told
    assert SECRET_WORDS not in told[0]
