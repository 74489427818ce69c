"""Endpoints reach clients over their sockets while config waits: for the end of its burst, or for its compile."""

import time
from functools import partial

import pytest
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from pilot.core.compiler import CompileCache, Refreshing, compile_resources
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affects

REVIEWS = "outbound|80||reviews.shop.svc.cluster.local"
LONG = 60.0
"""Seconds that a burst of config is held here: longer than a test waits for anything."""


def endpoints(*addresses):
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "reviews", "namespace": "shop", "labels": {"kubernetes.io/service-name": "reviews"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 9080}],
        "endpoints": [{"addresses": [address]} for address in addresses],
    }


def rule(retries):
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "reviews", "namespace": "shop"},
        "spec": {
            "hosts": ["reviews"],
            "http": [{"retries": {"attempts": retries}, "route": [{"destination": {"host": "reviews"}}]}],
        },
    }


@pytest.fixture
def engine():
    memos = CompileCache()
    compiler = partial(compile_resources, cache=memos)
    return Engine(compiler, affects, Debounce(LONG, LONG), refresh=Refreshing(memos))


def kinds(responses):
    return [response.type_url for response in responses]


async def test_endpoints_reach_a_client_in_a_burst_of_config_and_its_receipt_does_not_wait(serve_mesh, engine):
    async with serve_mesh(engine=engine) as mesh, AdsClient(mesh.plaintext, node("a", "shop")) as client:
        await client.until(lambda: client.names(LISTENER_TYPE))
        mesh.change(mesh.service("reviews", selector=None), endpoints("10.1.0.1"))
        await client.until(lambda: client.addresses(REVIEWS) == {"10.1.0.1"})
        await mesh.receipt(mesh.revision)
        before = len(client.responses)
        held = mesh.change(rule(3))
        assert engine.debounce.due > time.monotonic() + LONG / 10
        revision = mesh.change(endpoints("10.1.0.1", "10.1.0.2"))
        await client.until(lambda: client.addresses(REVIEWS) == {"10.1.0.1", "10.1.0.2"})
        receipt = await mesh.receipt(revision)
        assert (receipt["acked"], receipt["outstanding"]) == (1, ())
        assert (await mesh.receipt(held, wait=0))["outstanding"] == ("a.shop",)
        assert kinds(client.responses[before:]) == [ENDPOINT_TYPE]


async def test_endpoints_reach_a_client_before_the_config_that_waits_for_it(serve_mesh, engine):
    async with serve_mesh(engine=engine) as mesh, AdsClient(mesh.plaintext, node("a", "shop")) as client:
        await client.until(lambda: client.names(LISTENER_TYPE))
        mesh.change(mesh.service("reviews", selector=None), rule(2), endpoints("10.1.0.1"))
        await client.until(lambda: client.addresses(REVIEWS) == {"10.1.0.1"} and client.names(ROUTE_TYPE))
        await mesh.receipt(mesh.revision)
        before = len(client.responses)
        held = mesh.change(rule(3))
        revision = mesh.change(endpoints("10.1.0.2"))
        for number in (*engine.release_pushes(), *engine.release_endpoints()):
            mesh.hub._wakes[number].set()
        receipts = [await mesh.receipt(one) for one in (held, revision)]
        assert [(one["acked"], one["outstanding"]) for one in receipts] == [(1, ()), (1, ())]
        assert kinds(client.responses[before:]) == [ENDPOINT_TYPE, ROUTE_TYPE]
        assert client.addresses(REVIEWS) == {"10.1.0.2"}


async def test_what_a_client_learns_of_a_new_service_in_both_lanes_comes_clusters_first(serve_mesh, engine):
    async with serve_mesh(engine=engine) as mesh, AdsClient(mesh.plaintext, node("a", "shop")) as client:
        await client.until(lambda: client.names(LISTENER_TYPE))
        mesh.change(mesh.service("details"))
        await client.until(lambda: client.names(CLUSTER_TYPE) and client.names(LISTENER_TYPE))
        await mesh.receipt(mesh.revision)
        before = len(client.responses)
        mesh.change(mesh.service("reviews", selector=None))
        mesh.change(endpoints("10.1.0.1"))
        for number in (*engine.release_pushes(), *engine.release_endpoints()):
            mesh.hub._wakes[number].set()
        await client.until(lambda: client.addresses(REVIEWS) == {"10.1.0.1"})
        told = kinds(client.responses[before:])
        assert told[0] == CLUSTER_TYPE
        assert ENDPOINT_TYPE in told[1:]
