"""Streams beside each other: slow ones, many at once, reconnects, and those that never answer."""

import asyncio

import grpc
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE


async def test_a_stream_that_does_not_answer_holds_up_nobody(mesh):
    async with (
        AdsClient(mesh.plaintext, node("slow", "shop")) as slow,
        AdsClient(mesh.plaintext, node("b", "shop")) as fast,
    ):
        for client in (slow, fast):
            await client.until(lambda client=client: client.names(LISTENER_TYPE))
        slow.silent.add(CLUSTER_TYPE)
        revision = mesh.change(mesh.service("reviews"))
        await fast.until(lambda: fast.names(CLUSTER_TYPE))
        receipt = await mesh.receipt(revision, wait=0.2)
        assert receipt["outstanding"] == ("slow.shop",)
        assert receipt["acked"] == 1
    receipt = await mesh.receipt(revision)
    assert receipt["gone"] == ("slow.shop",)
    assert receipt["outstanding"] == ()


async def test_a_reconnect_with_nothing_new_is_sent_nothing(mesh, reached):
    mesh.change(mesh.service("reviews"))
    who = node("a", "shop")
    async with AdsClient(mesh.plaintext, who) as first:
        await first.until(lambda: first.names(CLUSTER_TYPE) and first.names(LISTENER_TYPE))
    async with AdsClient(mesh.plaintext, who, resume=first.held) as second:
        streams = mesh.hub.engine.streams
        await reached(lambda: 2 in streams and len(streams[2].session.channels) == 3)
        receipt = await mesh.receipt(mesh.change(mesh.service("details")))
        assert receipt["count"] == 1
        sent = {one.name for response in second.responses for one in response.resources}
        assert sent == {"details.shop.svc.cluster.local"}


async def test_a_reconnect_is_told_what_is_gone(mesh):
    who = node("a", "shop")
    old = {CLUSTER_TYPE: {"old": PackedResource(CLUSTER_TYPE, "old", "1", b"")}}
    async with AdsClient(mesh.plaintext, who, resume=old) as client:
        await client.until(lambda: any("old" in response.removed_resources for response in client.responses))


async def test_a_storm_is_served_in_turn_and_refused_to_nobody(serve_mesh):
    async with serve_mesh(push_throttle=2) as mesh:
        mesh.change(mesh.service("reviews"))
        clients = [AdsClient(mesh.plaintext, node(f"p{number}", "shop")) for number in range(20)]
        for client in clients:
            await client.__aenter__()
        try:
            for client in clients:
                await client.until(lambda client=client: client.names(LISTENER_TYPE))
            assert mesh.hub.admission.backlog == 0
        finally:
            await asyncio.gather(*(client.__aexit__(None, None, None) for client in clients))


async def test_what_is_over_a_hard_ceiling_is_refused(serve_mesh):
    async with serve_mesh(max_requests_per_second=1) as mesh:
        clients = [AdsClient(mesh.plaintext, node(f"p{number}", "shop")) for number in range(4)]
        await asyncio.gather(*(client.__aenter__() for client in clients))
        try:
            for client in clients:
                await client.until(lambda client=client: client.ended or client.names(LISTENER_TYPE))
            codes = [client.error.code() for client in clients if client.error is not None]
            assert codes
            assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        finally:
            await asyncio.gather(*(client.__aexit__(None, None, None) for client in clients))


async def test_a_first_config_that_is_never_taken_ends_the_stream(serve_mesh):
    async with serve_mesh(first_config_timeout="300ms") as mesh:
        client = AdsClient(mesh.plaintext, node("a", "shop"))
        client.silent |= {CLUSTER_TYPE, LISTENER_TYPE}
        async with client:
            await client.until(lambda: client.ended, seconds=5)
            assert client.error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
