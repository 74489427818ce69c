"""ResourceSource over mTLS: a sink that knows only the protocol takes its config from Galley."""

import asyncio

import grpc
import pytest
from galley.core.storage import Verb
from meshcore import metrics
from meshcore._generated.istio.networking.v1alpha3 import edges_pb2

from .conftest import ENTRIES


async def status_of(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(60):
            await call.read()
    return caught.value.code(), caught.value.details()


async def test_a_sink_gets_everything_and_then_every_change(galley):
    await galley.write(Verb.CREATE, "a")
    async with galley.sink() as sink:
        await sink.ask()
        first = await sink.next()
        assert (first.collection, first.incremental) == (ENTRIES, False)
        (resource,) = first.resources
        assert resource.metadata.name == "shop/a"
        assert dict(resource.metadata.labels) == {"team": "a"}
        assert resource.metadata.create_time.seconds > 0
        entry = edges_pb2.ServiceEntry()
        assert resource.body.Unpack(entry)
        assert (list(entry.hosts), entry.resolution) == (["one.example.com"], edges_pb2.ServiceEntry.DNS)
        await sink.ack(first)
        await galley.write(Verb.CREATE, "b")
        await sink.until({"shop/a", "shop/b"})
        await galley.write(Verb.DELETE, "a")
        await sink.until({"shop/b"})
    assert f'istio_mcp_request_acks_total{{collection="{ENTRIES}"}}'.encode() in metrics.render()


async def test_incremental_answers_hold_only_what_changed(galley):
    await galley.write(Verb.CREATE, "many", count=20)
    async with galley.sink() as sink:
        await sink.ask(incremental=True)
        names = {f"shop/many-{number}" for number in range(20)}
        (first,) = await sink.until(names)
        assert len(first.resources) == 20
        await galley.write(Verb.UPDATE, "many-3", "other.example.com")
        update = await sink.next()
        await sink.ack(update)
        assert update.incremental
        assert [item.metadata.name for item in update.resources] == ["shop/many-3"]
        await galley.write(Verb.DELETE, "many-4")
        (removal,) = await sink.until(names - {"shop/many-4"})
        assert (list(removal.removed_resources), list(removal.resources)) == (["shop/many-4"], [])
        held = dict(sink.held)
    await galley.write(Verb.DELETE, "many-5")
    async with galley.sink() as sink:
        await sink.ask(incremental=True, initial_resource_versions=held)
        removals = set()
        while "shop/many-5" not in removals:
            response = await sink.next()
            assert not response.resources
            removals |= set(response.removed_resources)
            await sink.ack(response)


async def test_a_refused_answer_is_counted_and_the_next_change_comes(galley):
    await galley.write(Verb.CREATE, "a")
    async with galley.sink() as sink:
        await sink.ask()
        await sink.nack(await sink.next())
        await galley.write(Verb.CREATE, "b")
        response = await sink.next()
        assert {item.metadata.name for item in response.resources} == {"shop/a", "shop/b"}
        await sink.ack(response)
    assert f'istio_mcp_request_nacks_total{{code="3",collection="{ENTRIES}"}}'.encode() in metrics.render()


async def test_several_collections_share_a_stream_and_a_stale_nonce_is_ignored(galley):
    async with galley.sink() as sink:
        await sink.ask(response_nonce="of-another-stream")
        await sink.ask()
        await sink.ask("istio/networking/v1alpha3/gateways")
        await sink.ask("k8s/core/v1/services")
        answers = [await sink.next() for _ in range(3)]
        assert {answer.collection for answer in answers} == {
            ENTRIES,
            "istio/networking/v1alpha3/gateways",
            "k8s/core/v1/services",
        }
        assert len({answer.nonce for answer in answers}) == 3


async def test_an_unknown_collection_ends_the_stream(galley):
    async with galley.sink() as sink:
        await sink.ask("istio/networking/v9/wonders")
        code, detail = await status_of(sink.call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "wonders" in detail


@pytest.mark.parametrize(
    ("spiffe", "expected"),
    [
        ("spiffe://cluster.local/ns/shop/sa/pilot", grpc.StatusCode.PERMISSION_DENIED),
        ("spiffe://other.domain/ns/istio-system/sa/pilot", grpc.StatusCode.PERMISSION_DENIED),
        (None, grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_who_is_not_on_the_list_gets_nothing(galley, spiffe, expected):
    async with galley.sink(spiffe) as sink:
        code, _ = await status_of(sink.call)
        assert code is expected


async def test_without_a_certificate_there_is_no_connection(galley):
    async with galley.channel("mcp", None) as channel:
        call = channel.stream_stream("/istio.mcp.v1alpha1.ResourceSource/EstablishResourceStream")()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_is_no_message_ends_its_own_stream_only(galley):
    async with galley.sink() as good, galley.channel("mcp", galley.ca.issue(PILOT)) as channel:
        await good.ask()
        call = channel.stream_stream("/istio.mcp.v1alpha1.ResourceSource/EstablishResourceStream")()
        await call.write(b"\xff\xff\xff")
        code, _ = await status_of(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert (await good.next()).collection == ENTRIES


PILOT = "spiffe://cluster.local/ns/istio-system/sa/pilot"
