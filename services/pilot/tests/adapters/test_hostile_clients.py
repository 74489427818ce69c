"""What a client of ADS may throw at Pilot: it is refused or bounded, and the client beside it notices nothing."""

import asyncio
import contextlib
import math
from types import MappingProxyType

import grpc
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import struct_pb2
from meshcore.http2 import frames
from meshcore.runtime import tasks
from meshcore.testing.ads_client import AdsClient, node
from meshcore.testing.http2_client import FrameClient
from meshcore.testing.identity import make_ca
from meshcore.xds.bounds import MOST_NAMES, MOST_TYPES
from meshcore.xds.request import LONGEST_REASON
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.secret_book import SecretState
from meshcore.xds.session import AdsSession
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, SECRET_TYPE
from pilot.adapters import telemetry
from pilot.core import tenants
from pilot.core.admission import AT_ONCE

SECRET = "kubernetes://cert"
STREAMS = "/envoy.service.discovery.v3.AggregatedDiscoveryService"


async def is_served(mesh, client, name):
    """A change reaches the client and is acknowledged."""
    receipt = await mesh.receipt(mesh.change(mesh.service(name)))
    assert f"{name}.shop.svc.cluster.local" in client.names(CLUSTER_TYPE)
    return receipt


async def ended_with(client):
    await client.until(lambda: client.ended)
    return client.error.code(), client.error.details()


def refused_for_too_much():
    return telemetry.REFUSED_STREAMS.labels("resource-exhausted")._value.get()


TOO_MUCH = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)
"""The second is what gRPC makes of the first where the client is still writing when its stream is ended."""


def with_a_secret(snapshot, proxy_class):
    return ResourceSet(MappingProxyType({}), (), frozenset({SECRET}))


async def test_attack_19_no_secret_is_had_on_the_plaintext_port(serve_mesh, workload_credentials):
    """The same node, once with the certificate of its workload and once with its word alone."""
    pair = make_ca().issue(None, dns=["shop.test"])
    who = node("a", "shop")
    async with serve_mesh(compile_class=with_a_secret) as mesh:
        mesh.hub.take_secret(("shop", "cert"), SecretState("1", {"tls.crt": pair.chain, "tls.key": pair.key.pem}))
        async with (
            AdsClient(mesh.secure, who, workload_credentials(), types=[SECRET_TYPE]) as proven,
            AdsClient(mesh.plaintext, who, types=[CLUSTER_TYPE]) as claimed,
        ):
            await proven.ask(SECRET_TYPE, [SECRET])
            await proven.until(lambda: proven.names(SECRET_TYPE))
            found = secret_pb2.Secret.FromString(proven.held[SECRET_TYPE][SECRET].body)
            assert found.tls_certificate.private_key.inline_bytes == pair.key.pem
            names = [SECRET, "kubernetes://shop/cert", "kubernetes://bank/cert", "default", "ROOTCA", "*"]
            await claimed.ask(SECRET_TYPE, names)
            await claimed.ask(LISTENER_TYPE)
            await claimed.until(lambda: any(one.type_url == LISTENER_TYPE for one in claimed.responses))
            mesh.hub.take_secret(("shop", "cert"), SecretState("2", {"tls.crt": pair.chain, "tls.key": pair.key.pem}))
            await mesh.receipt(mesh.change(mesh.service("reviews")))
            assert claimed.names(SECRET_TYPE) == set()
            assert not any(pair.key.pem in one.SerializeToString() for one in claimed.responses)
        async with grpc.aio.insecure_channel(mesh.plaintext, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.stream_stream(f"{STREAMS}/StreamAggregatedResources")()
            asked = discovery_pb2.DiscoveryRequest(node=who, type_url=SECRET_TYPE, resource_names=[SECRET])
            await call.write(asked.SerializeToString())
            answer = discovery_pb2.DiscoveryResponse.FromString(await call.read())
            assert (answer.type_url, list(answer.resources)) == (SECRET_TYPE, [])
            call.cancel()


async def test_attack_18_a_proven_proxy_has_the_secrets_that_its_config_refers_to_and_no_other(
    serve_mesh, workload_credentials
):
    """Names of another namespace, that climb, of too many parts, of none: passed over, and what is its own comes."""
    one, two = (make_ca().issue(None, dns=["shop.test"]) for _ in range(2))
    odd = [
        "kubernetes://bank/cert",
        "kubernetes-gateway://bank/cert",
        "kubernetes-gateway://shop/cert",
        "kubernetes://../bank/cert",
        "kubernetes://shop/../bank/cert",
        "kubernetes://",
        "kubernetes://a/b/c",
        "configmap://bank/roots",
        "invalid://",
        "file-cert:/etc/shadow~/etc/shadow",
        "",
        "x" * 100_000,
    ]
    async with serve_mesh(compile_class=with_a_secret) as mesh:

        def take(version, pair):
            for space in ("bank", "shop"):
                data = {"tls.crt": pair.chain, "tls.key": pair.key.pem}
                mesh.hub.take_secret((space, "cert"), SecretState(version, data))

        take("1", one)
        async with AdsClient(mesh.secure, node("a", "shop"), workload_credentials(), types=[SECRET_TYPE]) as client:
            await client.ask(SECRET_TYPE, [*odd, SECRET])
            await client.until(lambda: SECRET in client.names(SECRET_TYPE))
            take("2", two)
            await client.until(lambda: two.key.pem in client.held[SECRET_TYPE][SECRET].body)
            assert client.names(SECRET_TYPE) == {SECRET}
            assert mesh.hub.engine.wanted_secrets().keys() == {("shop", "cert")}


async def test_attack_42_half_a_tls_handshake_holds_up_nobody(secure_mesh, workload_credentials):
    """Three hundred connections that say nothing, or half a hello, and stay."""
    port = int(secure_mesh.secure.rpartition(":")[2])
    half = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
    for number, (_, writer) in enumerate(half):
        writer.write(b"\x16\x03\x01\x02\x00\x01" * (number % 2))
    async with AdsClient(secure_mesh.secure, node("a", "shop"), workload_credentials()) as client:
        await client.until(lambda: client.names(LISTENER_TYPE))
        await is_served(secure_mesh, client, "reviews")
        assert len(secure_mesh.hub.engine.streams) == 1
    for _, writer in half:
        writer.transport.abort()


def odd_metadata():
    nested = struct_pb2.Value(number_value=1)
    for _ in range(40):
        nested = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[nested]))
    return [
        struct_pb2.Value(number_value=-1.5),
        struct_pb2.Value(number_value=math.inf),
        struct_pb2.Value(number_value=math.nan),
        struct_pb2.Value(bool_value=True),
        struct_pb2.Value(null_value=struct_pb2.NULL_VALUE),
        struct_pb2.Value(string_value="\x00~[]{}"),
        struct_pb2.Value(string_value="[" * 100_000),
        struct_pb2.Value(list_value=struct_pb2.ListValue(values=[struct_pb2.Value(number_value=7)])),
        struct_pb2.Value(struct_value=struct_pb2.Struct(fields={"name": struct_pb2.Value(number_value=7)})),
        struct_pb2.Value(),
        nested,
    ]


READ = [
    "LABELS",
    "INSTANCE_IPS",
    "NAMESPACE",
    "SERVICE_ACCOUNT",
    "INTERCEPTION_MODE",
    "HTTP_PROXY_PORT",
    "POD_PORTS",
    "PROXY_CONFIG",
    "NETWORK",
    "CLUSTER_ID",
    "ISTIO_VERSION",
    "GENERATOR",
    "AUTO_REGISTER_GROUP",
    "WORKLOAD_NAME",
    "ENVOY_STATUS_PORT",
    "UNPRIVILEGED_POD",
]


@pytest.mark.parametrize("kind", range(len(odd_metadata())))
async def test_attack_42_metadata_of_wrong_types_is_refused_or_passed_over(mesh, kind):
    async with AdsClient(mesh.plaintext, node("honest", "shop")) as honest:
        await honest.until(lambda: honest.names(LISTENER_TYPE))
        for key in READ:
            who = node("odd", "shop")
            who.metadata.fields[key].CopyFrom(odd_metadata()[kind])
            async with AdsClient(mesh.plaintext, who) as client:
                await client.until(lambda client=client: client.ended or client.names(LISTENER_TYPE))
                if client.error is not None:
                    assert client.error.code() is grpc.StatusCode.INVALID_ARGUMENT, (key, client.error)
        await is_served(mesh, honest, "reviews")


@pytest.mark.parametrize("address", ["", "~~~", "sidecar~::1%eth0~a.shop~shop", "x" * 100_000, "sidecar~1.2.3~a.b~c"])
async def test_attack_42_a_malformed_node_id_is_refused(mesh, address):
    who = node("a", "shop")
    who.id = address
    del who.metadata.fields["INSTANCE_IPS"]
    async with AdsClient(mesh.plaintext, who) as client:
        code, detail = await ended_with(client)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(detail) <= 1000


async def test_attack_42_more_names_than_a_mesh_can_have_end_the_stream_and_nothing_of_them_is_kept(mesh):
    async with AdsClient(mesh.plaintext, node("honest", "shop")) as honest:
        await honest.until(lambda: honest.names(LISTENER_TYPE))
        before = refused_for_too_much()
        many = [f"{number:x}" for number in range(1_000_000)]
        for said in ({"subscribe": many}, {"gone": many}, {"versions": dict.fromkeys(many, "")}):
            async with AdsClient(mesh.plaintext, node("greedy", "shop"), types=[CLUSTER_TYPE]) as greedy:
                await greedy.ask(ENDPOINT_TYPE, **said)
                assert (await ended_with(greedy))[0] in TOO_MUCH
        assert refused_for_too_much() == before + 3
        openings = mesh.hub.engine.frames.openings
        assert sum(len(one.names) for one in openings._subscriptions.values()) < 100
        assert not openings._used
        await is_served(mesh, honest, "reviews")


async def test_attack_42_names_and_types_that_come_bit_by_bit_are_counted_together(mesh):
    before = refused_for_too_much()
    async with AdsClient(mesh.plaintext, node("greedy", "shop"), types=[CLUSTER_TYPE]) as greedy:
        greedy.silent.add(ENDPOINT_TYPE)
        for part in range(MOST_NAMES // 20_000 + 1):
            await greedy.ask(ENDPOINT_TYPE, [f"{part}-{number}" for number in range(20_000)])
        assert (await ended_with(greedy))[0] in TOO_MUCH
    assert refused_for_too_much() == before + 1
    async with AdsClient(mesh.plaintext, node("greedy", "shop"), types=[CLUSTER_TYPE]) as greedy:
        for number in range(MOST_TYPES):
            await greedy.ask(f"type.googleapis.com/odd.{number}", ["a"])
        assert (await ended_with(greedy))[0] in TOO_MUCH
    assert refused_for_too_much() == before + 2


async def test_attack_42_names_that_do_not_exist_are_counted_over_all_streams_of_a_client(mesh, monkeypatch):
    monkeypatch.setattr(tenants, "MOST_BURDEN", 1 << 20)
    many = [f"x{number}" for number in range(2000)]
    async with AdsClient(mesh.plaintext, node("a", "shop"), types=[CLUSTER_TYPE]) as first:
        await first.ask(ENDPOINT_TYPE, many)
        await first.until(lambda: any(one.type_url == ENDPOINT_TYPE for one in first.responses))
        async with AdsClient(mesh.plaintext, node("b", "shop"), types=[CLUSTER_TYPE]) as second:
            await second.ask(ENDPOINT_TYPE, [f"y{name}" for name in many])
            code, detail = await ended_with(second)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "1 MiB" in detail
        await is_served(mesh, first, "reviews")


async def test_attack_42_a_message_beyond_all_measure_ends_the_stream(mesh):
    async with AdsClient(mesh.plaintext, node("greedy", "shop"), types=[CLUSTER_TYPE]) as greedy:
        await greedy.ask(ENDPOINT_TYPE, ["x" * (17 << 20)])
        assert (await ended_with(greedy))[0] in TOO_MUCH
    async with AdsClient(mesh.plaintext, node("honest", "shop")) as honest:
        await honest.until(lambda: honest.names(LISTENER_TYPE))


async def test_attack_42_refusals_without_end_bring_nothing_and_their_text_is_cut(mesh):
    async with (
        AdsClient(mesh.plaintext, node("honest", "shop")) as honest,
        AdsClient(mesh.plaintext, node("nagging", "shop")) as nagging,
    ):
        for client in (honest, nagging):
            await client.until(lambda client=client: client.names(LISTENER_TYPE))
        nagging.refuse[CLUSTER_TYPE] = "x" * (1 << 20)
        receipt = await mesh.receipt(mesh.change(mesh.service("reviews")))
        assert [one["proxy"] for one in receipt["failed"]] == ["nagging.shop"]
        nonce = next(one.nonce for one in reversed(nagging.responses) if one.type_url == CLUSTER_TYPE)
        before = len(nagging.responses)
        for number in range(2000):
            await nagging.ask(CLUSTER_TYPE, nonce=nonce if number % 2 else f"forged-{number}", error="no")
        # Behind all of them in its own stream; when it is answered they have been read.
        await nagging.ask(ENDPOINT_TYPE, ["nothing"])
        await nagging.until(lambda: any(one.type_url == ENDPOINT_TYPE for one in nagging.responses[before:]))
        assert {one.type_url for one in nagging.responses[before:]} == {ENDPOINT_TYPE}
        rows = await mesh.answers.answer("syncz", {}, 0)
        errors = [row["resources"]["cds"].get("lastError") or "" for row in rows]
        assert max(map(len, errors)) == LONGEST_REASON
        await is_served(mesh, honest, "details")


def subscription(number, type_url=CLUSTER_TYPE):
    return discovery_pb2.DeltaDiscoveryRequest(node=node(f"n{number}", "shop"), type_url=type_url).SerializeToString()


async def test_attack_12_a_thousand_streams_of_one_connection_disturb_no_other(mesh, reached):
    port = mesh.servers.plaintext_port
    async with AdsClient(mesh.plaintext, node("honest", "bank")) as honest:
        await honest.until(lambda: honest.names(LISTENER_TYPE))
        greedy = await FrameClient.open("127.0.0.1", port, None)
        await greedy.until(frames.SETTINGS, 0)
        for number in range(1000):
            greedy.call(2 * number + 1, f"{STREAMS}/DeltaAggregatedResources", subscription(number), ended=False)
        await reached(lambda: len(mesh.hub.engine.streams) > AT_ONCE)
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
