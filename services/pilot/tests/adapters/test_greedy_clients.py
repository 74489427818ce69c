"""What a client of ADS may want of Pilot, by streams, kinds and much at once: it is bounded, and others are served."""

import asyncio
import contextlib

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.http2 import frames
from meshcore.runtime import tasks
from meshcore.testing.ads_client import AdsClient, node
from meshcore.testing.http2_client import FrameClient
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.session import AdsSession
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, SECRET_TYPE
from pilot.adapters import telemetry
from pilot.core.concurrency import LEAST
from witness import STREAMS, ended_with, is_served, subscription


async def test_attack_12_a_thousand_streams_of_one_connection_disturb_no_other(mesh, reached):
    port = mesh.servers.plaintext_port
    async with AdsClient(mesh.plaintext, node("honest", "bank")) as honest:
        await honest.until(lambda: honest.names(LISTENER_TYPE))
        greedy = await FrameClient.open("127.0.0.1", port, None)
        await greedy.until(frames.SETTINGS, 0)
        for number in range(1000):
            greedy.call(2 * number + 1, f"{STREAMS}/DeltaAggregatedResources", subscription(number), ended=False)
        await reached(lambda: len(mesh.hub.engine.streams) > LEAST)
        await is_served(mesh, honest, "reviews")
        greedy.close()
        async with AdsClient(mesh.plaintext, node("newcomer", "bank")) as newcomer:
            await newcomer.until(lambda: newcomer.names(CLUSTER_TYPE))
        await is_served(mesh, honest, "details")


@contextlib.asynccontextmanager
async def turns_of_others():
    """How many turns something else has had up to now."""
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with tasks.background(others(), name="others"):
        yield lambda: turns


async def test_attack_12_requests_written_at_once_take_turns_with_everybody(mesh, reached, monkeypatch):
    """What else there is to do gets a turn after each of them."""
    at = []
    receive = AdsSession.request_received
    greedy = await FrameClient.open("127.0.0.1", mesh.servers.plaintext_port, None)
    greedy.call(1, f"{STREAMS}/DeltaAggregatedResources", subscription(0), ended=False)
    await reached(lambda: mesh.hub.engine.streams)
    async with turns_of_others() as turns:

        def noted(session, request, now):
            at.append(turns())
            return receive(session, request, now)

        monkeypatch.setattr(AdsSession, "request_received", noted)
        for number in range(120):
            asked = discovery_pb2.DeltaDiscoveryRequest(type_url=ENDPOINT_TYPE, resource_names_subscribe=[f"x{number}"])
            greedy.say(1, asked.SerializeToString())
        await reached(lambda: len(at) >= 120)
    assert len(set(at[-120:])) == 120
    greedy.close()


async def test_attack_12_between_the_compiles_for_new_streams_everybody_has_a_turn(serve_mesh, reached):
    at = []
    async with turns_of_others() as turns:

        def compile_class(snapshot, proxy_class):
            at.append(turns())
            return ResourceSet.of([])

        async with serve_mesh(compile_class=compile_class) as mesh:
            greedy = await FrameClient.open("127.0.0.1", mesh.servers.plaintext_port, None)
            for number in range(40):
                asked = discovery_pb2.DeltaDiscoveryRequest(
                    node=of_version("a", f"1.{number}.0"), type_url=CLUSTER_TYPE
                )
                path = f"{STREAMS}/DeltaAggregatedResources"
                greedy.call(2 * number + 1, path, asked.SerializeToString(), ended=False)
            await reached(lambda: len(at) == 40)
            greedy.close()
    assert len(set(at)) == 40


def of_version(name, version, **metadata):
    return node(name, "shop", ISTIO_VERSION=version, **metadata)


async def test_attack_42_kinds_of_proxies_that_one_identity_makes_up_are_bounded(serve_mesh, workload_credentials):
    """Each is compiled and kept. Its replicas are of one kind, and others are not held to it."""
    async with serve_mesh(classes_per_identity=2) as mesh, contextlib.AsyncExitStack() as stack:

        async def connected(name, version, account="default"):
            who, credentials = of_version(name, version, SERVICE_ACCOUNT=account), workload_credentials("shop", account)
            client = await stack.enter_async_context(AdsClient(mesh.secure, who, credentials))
            await client.until(lambda: client.ended or client.names(LISTENER_TYPE))
            return client

        kept = [await connected(f"p{number}", f"1.{number % 2}.0") for number in range(6)]
        refused = await connected("odd", "1.3.0")
        assert refused.error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "spiffe://cluster.local/ns/shop/sa/default" in refused.error.details()
        assert "PILOT_CLASSES_PER_IDENTITY" in refused.error.details()
        honest = await connected("odd", "1.3.0", "other")
        await is_served(mesh, honest, "reviews")
        assert all(client.error is None for client in kept)
        assert len(mesh.hub.engine.streams) == 7


async def test_attack_42_an_agent_is_no_way_around_the_bound_on_kinds(serve_mesh, workload_credentials):
    async with serve_mesh(classes_per_identity=1) as mesh:
        agent = of_version("a", "1.2.0", GENERATOR="agent")
        async with (
            AdsClient(mesh.secure, of_version("a", "1.1.0"), workload_credentials()) as envoy,
            AdsClient(mesh.secure, agent, workload_credentials(), types=[SECRET_TYPE]) as asking,
        ):
            await envoy.until(lambda: envoy.names(LISTENER_TYPE))
            assert (await ended_with(asking))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
            await is_served(mesh, envoy, "reviews")


async def test_attack_12_streams_of_one_identity_are_bounded(serve_mesh, workload_credentials):
    async with (
        serve_mesh(streams_per_identity=2) as mesh,
        AdsClient(mesh.secure, node("a", "shop"), workload_credentials()) as one,
        AdsClient(mesh.secure, node("b", "shop"), workload_credentials()) as two,
        AdsClient(mesh.secure, node("c", "bank"), workload_credentials("bank")) as other,
    ):
        for client in (one, two, other):
            await client.until(lambda client=client: client.names(LISTENER_TYPE))
        async with AdsClient(mesh.secure, node("d", "shop"), workload_credentials()) as refused:
            code, detail = await ended_with(refused)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "PILOT_STREAMS_PER_IDENTITY" in detail
        await is_served(mesh, other, "reviews")


async def test_attack_12_clients_that_read_nothing_are_ended_and_others_are_served(serve_mesh, reached):
    """Fifty of them, whose windows are shut; what is for them is never built up beyond their first message."""

    def large(snapshot, proxy_class):
        name = f"c{len(snapshot.registry.services)}"
        cluster = cluster_pb2.Cluster(name=name, alt_stat_name="x" * (1 << 20))
        return ResourceSet.of([PackedResource.pack(CLUSTER_TYPE, name, cluster)])

    def given_up():
        return telemetry.REFUSED_STREAMS.labels("deadline-exceeded")

    before = given_up()._value.get()
    async with serve_mesh(first_config_timeout="2s", compile_class=large) as mesh:
        slow = []
        for number in range(50):
            client = await FrameClient.open(
                "127.0.0.1", mesh.servers.plaintext_port, None, {frames.INITIAL_WINDOW_SIZE: 0}
            )
            client.call(1, f"{STREAMS}/DeltaAggregatedResources", subscription(number), ended=False)
            client.say(1, subscription(number, LISTENER_TYPE))
            slow.append(client)
        async with AdsClient(mesh.plaintext, node("honest", "bank")) as honest:
            await honest.until(lambda: honest.names(CLUSTER_TYPE) == {"c0"})
            mesh.change(mesh.service("reviews"))
            await honest.until(lambda: honest.names(CLUSTER_TYPE) == {"c1"})
            await reached(lambda: given_up()._value.get() == before + 50)
            assert len(mesh.hub.engine.streams) == 1
        for client in slow:
            client.close()
