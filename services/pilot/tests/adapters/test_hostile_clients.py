"""What a client of ADS may say to Pilot: it is refused or passed over, and the client beside it notices nothing."""

import asyncio
import math

import grpc
import pytest
from google.protobuf import struct_pb2
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.bounds import MOST_NAMES, MOST_TYPES
from meshcore.xds.request import LONGEST_REASON
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE
from pilot.adapters import telemetry
from pilot.core import tenants
from witness import ended_with, is_served


def refused_for_too_much():
    return telemetry.REFUSED_STREAMS.labels("resource-exhausted")._value.get()


TOO_MUCH = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)
"""The second is what gRPC makes of the first where the client is still writing when its stream is ended."""


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


@pytest.mark.timeout(600)  # a million names, three times
async def test_attack_42_more_names_than_a_mesh_can_have_end_the_stream_and_nothing_of_them_is_kept(serve_mesh):
    async with (
        serve_mesh(first_config_timeout="10m") as mesh,  # so many take a busy machine long to write
        AdsClient(mesh.plaintext, node("honest", "shop")) as honest,
    ):
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


async def test_attack_42_large_nodes_are_counted_over_all_streams_of_a_client(mesh, reached, monkeypatch):
    monkeypatch.setattr(tenants, "MOST_BURDEN", 1 << 20)

    def large(name):
        return node(name, "shop", **{f"KEY_{number}": "x" * 1000 for number in range(256)})

    async with (
        AdsClient(mesh.plaintext, node("a", "shop", KEY="x" * 60_000)) as honest,
        AdsClient(mesh.plaintext, large("first")) as first,
    ):
        await first.until(lambda: first.names(LISTENER_TYPE))
        async with AdsClient(mesh.plaintext, large("second")) as second:
            code, detail = await ended_with(second)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger nodes" in detail
        await is_served(mesh, honest, "reviews")
    await reached(lambda: not mesh.hub.engine.streams)
    async with AdsClient(mesh.plaintext, large("third")) as third:
        await third.until(lambda: third.names(LISTENER_TYPE))


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
