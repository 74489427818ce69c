"""Streams beside each other: slow ones, many at once, reconnects, and those that never answer."""

import asyncio
import contextlib
import gc
import time
from datetime import timedelta

import grpc
import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.errors import MeshError
from meshcore.http2 import Code, frames
from meshcore.testing.ads_client import METHOD, AdsClient, node
from meshcore.testing.http2_client import FrameClient
from meshcore.tls import ssl_client_context
from meshcore.xds import delta
from meshcore.xds.request import Request
from meshcore.xds.resource import EMPTY, PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE
from pilot.adapters.serving import hub_of
from pilot.adapters.stream_runner import StreamRunner
from pilot.core.concurrency import MOST
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.node import parse_node
from pilot.core.push_queue import Push
from pilot.settings import PilotSettings


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
        async with asyncio.timeout(60):
            # What the fast one has, it has yet to acknowledge.
            while (receipt := await mesh.receipt(revision, wait=0.2))["acked"] == 0:
                assert "slow.shop" in receipt["outstanding"]
        assert receipt["outstanding"] == ("slow.shop",)
        assert receipt["acked"] == 1
    receipt = await mesh.receipt(revision)
    assert receipt["gone"] == ("slow.shop",)
    assert receipt["outstanding"] == ()


async def test_what_waits_for_warming_clusters_is_sent_when_their_time_is_over(mesh):
    client = AdsClient(mesh.plaintext, node("a", "shop"))
    client.silent.add(CLUSTER_TYPE)
    mesh.change(mesh.service("reviews"))
    async with client:
        await client.until(lambda: client.names(LISTENER_TYPE))
        assert mesh.hub.engine.find("a.shop").session.channels[CLUSTER_TYPE].flight is not None


async def test_a_reconnect_with_nothing_new_is_sent_nothing(mesh, reached):
    mesh.change(mesh.service("reviews"))
    who = node("a", "shop")
    async with AdsClient(mesh.plaintext, who) as first:
        await first.until(lambda: first.names(CLUSTER_TYPE) and first.names(LISTENER_TYPE))
    async with AdsClient(mesh.plaintext, who, resume=first.held) as second:
        streams = mesh.hub.engine.streams
        await reached(lambda: set(streams) == {2} and len(streams[2].session.channels) == 3)
        receipt = await mesh.receipt(mesh.change(mesh.service("details")))
        assert receipt["count"] == 1
        sent = {one.name for response in second.responses for one in response.resources}
        assert sent == {"details.shop.svc.cluster.local"}


async def test_a_reconnect_is_told_what_is_gone(mesh):
    who = node("a", "shop")
    old = {CLUSTER_TYPE: {"old": PackedResource(CLUSTER_TYPE, "old", "1", b"")}}
    async with AdsClient(mesh.plaintext, who, resume=old) as client:
        await client.until(lambda: any("old" in response.removed_resources for response in client.responses))


async def test_what_a_client_says_first_does_not_stay_with_its_stream(mesh):
    old = {CLUSTER_TYPE: {"old": PackedResource(CLUSTER_TYPE, "old", "1", b"")}}
    async with AdsClient(mesh.plaintext, node("a", "shop"), resume=old) as client:
        await client.until(lambda: client.names(LISTENER_TYPE))
        gc.collect()  # what streams of before have left
        assert [one for one in gc.get_objects() if type(one) is Request and one.initial_versions] == []


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
    """Attack 42."""
    async with serve_mesh(max_requests_per_second=0.1) as mesh:
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


async def test_no_more_pushes_go_on_at_once_than_the_throttle_lets(serve_mesh, monkeypatch):
    """Pushes that are not written yet hold up others; once they are it goes on with the next."""
    monkeypatch.setenv("PILOT_PUSH_THROTTLE", "2")
    async with serve_mesh() as mesh:
        streams = [mesh.hub.connect(parse_node(node(f"p{number}", "shop")), delta, "test") for number in range(4)]
        push = Push(1, time.monotonic())

        def taken():
            return [mesh.hub.take_push(stream) is not None for stream, _ in streams]

        for stream, _ in streams:
            mesh.hub.engine.config_lane.queue.add(stream.number, push)
        assert taken() == [True, True, False, False]
        assert taken() == [False, False, False, False]
        mesh.hub.written(streams[1][0])
        assert taken() == [False, False, True, False]
        mesh.hub.disconnect(streams[0][0])
        assert taken() == [False, False, False, True]
        for stream, _ in streams[1:]:
            mesh.hub.disconnect(stream)


async def test_a_thousand_pushes_that_waited_for_one_follow_one_another(serve_mesh, reached):
    async with serve_mesh(push_throttle=1) as mesh:
        streams = [mesh.hub.connect(parse_node(node(f"p{number}", "shop")), delta, "test") for number in range(1000)]
        pushed = []

        def work(stream):
            if mesh.hub.take_push(stream) is not None:
                pushed.append(stream.number)
                mesh.hub.written(stream)
            return True

        rests = [
            asyncio.create_task(wake.rest(time.monotonic() + 60, lambda _, s=stream: work(s)))
            for stream, wake in streams[1:]
        ]
        await asyncio.sleep(0)
        for stream, _ in streams:
            mesh.hub.engine.config_lane.queue.add(stream.number, Push(1, time.monotonic()))
        slow, _ = streams[0]
        assert mesh.hub.take_push(slow) is not None
        for _, wake in streams[1:]:
            wake.set()
        assert pushed == []
        mesh.hub.written(slow)
        await reached(lambda: len(pushed) == 999)
        assert pushed == sorted(pushed)
        for rest in rests:
            rest.cancel()
        for stream, _ in streams:
            mesh.hub.disconnect(stream)


async def test_under_a_throttle_everybody_is_pushed_to(serve_mesh, monkeypatch):
    monkeypatch.setenv("PILOT_PUSH_THROTTLE", "1")
    async with serve_mesh() as mesh, contextlib.AsyncExitStack() as stack:
        who = [AdsClient(mesh.plaintext, node(f"p{number}", "shop")) for number in range(6)]
        for client in who:
            await stack.enter_async_context(client)
        for client in who:
            await client.until(lambda client=client: client.names(LISTENER_TYPE))
        for name in ("reviews", "details"):
            receipt = await mesh.receipt(mesh.change(mesh.service(name)))
            assert (receipt["acked"], receipt["outstanding"]) == (6, ())


@pytest.mark.parametrize(("throttle", "most"), [("0", MOST), ("5", 3), ("1", 1), ("500", 250)])
async def test_workers_share_what_the_variables_allow(monkeypatch, throttle, most):
    for name, value in (("PUSH_THROTTLE", throttle), ("MAX_REQUESTS_PER_SECOND", "7"), ("WORKERS", "2")):
        monkeypatch.setenv(f"PILOT_{name}", value)
    monkeypatch.setenv("PILOT_WORKER", "1")
    hub = hub_of(PilotSettings(), Engine(lambda *_: EMPTY, lambda *_: True, Debounce(0.1, 1)))
    assert (hub.admission.most, hub.admission.per_second) == (most, 3.5)
    allowed = sum(hub.throttle.begins(number) for number in range(1000))
    assert allowed == {"0": 1000, "5": 3, "1": 1, "500": 250}[throttle]


async def test_what_an_identity_may_have_is_said_by_variables(monkeypatch):
    monkeypatch.setenv("PILOT_STREAMS_PER_IDENTITY", "1")
    monkeypatch.setenv("PILOT_CLASSES_PER_IDENTITY", "2")
    hub = hub_of(PilotSettings(), Engine(lambda *_: EMPTY, lambda *_: True, Debounce(0.1, 1)))
    with hub.tenants.stream("a"), pytest.raises(MeshError, match="1 streams"), hub.tenants.stream("a"):
        pass
    for version in ("1.1.0", "1.2.0"):
        hub.connect(parse_node(node("a", "shop", ISTIO_VERSION=version)), delta, "10.0.0.1:5")
    with pytest.raises(MeshError, match="2 kinds"):
        hub.connect(parse_node(node("a", "shop", ISTIO_VERSION="1.3.0")), delta, "10.0.0.1:6")
    assert len(hub.engine.streams) == 2


async def test_a_first_config_that_is_never_taken_ends_the_stream(serve_mesh):
    async with serve_mesh(first_config_timeout="300ms") as mesh:
        client = AdsClient(mesh.plaintext, node("a", "shop"))
        client.silent |= {CLUSTER_TYPE, LISTENER_TYPE}
        async with client:
            await client.until(lambda: client.ended)
            assert client.error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_first_config_is_complete_though_something_newer_is_on_its_way(mesh, reached):
    """Where endpoints change faster than a client answers something always is: it kept its place, and was ended."""
    mesh.change(mesh.service("reviews"))
    engine = mesh.hub.engine
    async with grpc.aio.insecure_channel(mesh.plaintext) as channel:
        call = channel.stream_stream(METHOD)()
        asked = discovery_pb2.DeltaDiscoveryRequest(node=node("a", "shop"), type_url=CLUSTER_TYPE)
        await call.write(asked.SerializeToString())
        first = discovery_pb2.DeltaDiscoveryResponse.FromString(await call.read())
        mesh.change(mesh.service("ratings"))
        stream = engine.find("a.shop")
        await reached(lambda: stream.target_generation == engine.generation)
        assert not stream.complete
        answer = discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER_TYPE, response_nonce=first.nonce)
        await call.write(answer.SerializeToString())
        newer = discovery_pb2.DeltaDiscoveryResponse.FromString(await call.read())
        assert any("ratings" in one.name for one in newer.resources)
        assert stream.complete
        assert not stream.session.settled


async def test_a_client_that_takes_nothing_keeps_its_place_in_the_line_no_longer_than_any(serve_mesh):
    def large(snapshot, proxy_class):
        size = 64 << 20 if proxy_class.namespace == "shop" else 1
        return ResourceSet.of([PackedResource.pack(CLUSTER_TYPE, "c", bytes(size))])

    async with (
        serve_mesh(first_config_timeout="300ms", push_throttle=1, compile_class=large) as mesh,
        grpc.aio.insecure_channel(mesh.plaintext) as channel,
    ):
        stuck = channel.stream_stream(METHOD)()
        for type_url in (CLUSTER_TYPE, LISTENER_TYPE):
            request = discovery_pb2.DeltaDiscoveryRequest(node=node("stuck", "shop"), type_url=type_url)
            await stuck.write(request.SerializeToString())
        async with AdsClient(mesh.plaintext, node("b", "bank")) as client:
            await client.until(lambda: client.names(CLUSTER_TYPE))
        assert mesh.hub.engine.find("stuck.shop") is None


async def test_attack_42_silent_clients_hold_up_nobody(serve_mesh, workload_credentials):
    """Two that say nothing at all, and two that never answer what they are sent, where there are two places."""
    async with serve_mesh(push_throttle=2, first_config_timeout="10m") as mesh, contextlib.AsyncExitStack() as silent:
        for number in range(2):
            credentials = workload_credentials()
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = await silent.enter_async_context(grpc.aio.secure_channel(mesh.secure, credentials, options))
            call = channel.stream_stream(METHOD)()
            silent.callback(call.cancel)
            await call.wait_for_connection()
            client = AdsClient(mesh.secure, node(f"s{number}", "shop"), credentials)
            client.silent |= {CLUSTER_TYPE, LISTENER_TYPE}
            await silent.enter_async_context(client)
            await client.until(lambda client=client: client.responses)
        async with AdsClient(mesh.secure, node("a", "shop"), workload_credentials()) as client:
            await client.until(lambda: client.names(LISTENER_TYPE))
            assert not any(one.complete for one in mesh.hub.engine.streams.values() if one.proxy.id != "a.shop")


class Talker:
    """A client that says something whenever it is listened to, and never stops."""

    ended = False
    on_news = None
    unread = 1

    def take(self):
        return discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER_TYPE, response_nonce="stale").SerializeToString()

    def send(self, message):
        return True

    async def room(self):
        return None


async def test_a_client_that_never_stops_talking_ends_with_its_certificate(mesh):
    stream, wake = mesh.hub.connect(parse_node(node("a", "shop")), delta, "test")
    async with mesh.hub.line.admitted("test") as ticket, asyncio.timeout(60):
        runner = StreamRunner(mesh.hub, stream, wake, Talker(), delta, ticket, timedelta(seconds=30))
        assert await runner.run([Request(type_url=CLUSTER_TYPE)], expires=time.monotonic()) == "age"
    mesh.hub.disconnect(stream)


class Ends:
    """Remembers how streams ended."""

    def __init__(self):
        self.orderly = []

    async def began(self, stream):
        return None

    def ended(self, stream, *, orderly):
        self.orderly.append(orderly)

    def health(self, stream, *, healthy):
        return None


@pytest.mark.parametrize("way", ["end", "reset", "abort"])
async def test_only_a_client_that_says_so_has_ended_its_stream_in_good_order(serve_mesh, ca, reached, way):
    ends = Ends()
    context = ssl_client_context(ca.issue("spiffe://cluster.local/ns/shop/sa/default"))
    async with serve_mesh(registrations=ends) as mesh:
        client = await FrameClient.open("localhost", mesh.servers.secure_port, context)
        request = discovery_pb2.DeltaDiscoveryRequest(node=node("a", "shop"), type_url=CLUSTER_TYPE)
        client.call(1, METHOD, request.SerializeToString(), ended=False)
        await reached(lambda: mesh.hub.engine.streams)
        if way == "end":
            client.writer.write(frames.frame(frames.DATA, frames.END_STREAM, 1))
        elif way == "reset":
            client.writer.write(frames.reset(1, Code.CANCEL))
        else:
            client.close()
        await reached(lambda: ends.orderly)
        assert ends.orderly == [way == "end"]
        client.close()


async def test_who_waits_for_the_compile_of_another_class_is_late_for_compiling(serve_mesh):
    spent = []

    def slowly(snapshot, proxy_class):
        """A set that the namespace makes, in a while that nothing else happens in."""
        if snapshot.revision > 1:
            time.sleep(0.3)
            spent.append(proxy_class.namespace)
        packed = listener_pb2.Listener(name="l", stat_prefix=f"{proxy_class.namespace}{snapshot.revision}")
        return ResourceSet.of([PackedResource.pack(LISTENER_TYPE, "l", packed)])

    async with serve_mesh(compile_class=slowly) as mesh, contextlib.AsyncExitStack() as stack:
        names = [f"ns-{number}" for number in range(4)]
        for name in names:
            client = AdsClient(mesh.plaintext, node("p", name))
            await stack.enter_async_context(client)
            await client.until(lambda client=client: client.names(LISTENER_TYPE))
        receipt = await mesh.receipt(mesh.change(mesh.service("reviews")))
        assert receipt["acked"] == 4
        assert sorted(spent) == names
        seconds = receipt["slowest"]["seconds"]
        assert max(seconds, key=seconds.get) == "compile"
        # Its own and those before it.
        assert seconds["compile"] >= 0.3 * (spent.index(receipt["slowest"]["proxy"].removeprefix("p.")) + 1)
