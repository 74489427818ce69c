"""Real gRPC streams against a serving hub."""

import grpc.aio
from envoy.config.cluster.v3 import cluster_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE

SOTW = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
HOST = "reviews.shop.svc.cluster.local"


async def test_a_change_reaches_every_stream_and_its_receipt_says_so(mesh):
    async with AdsClient(mesh.plaintext, node("a", "shop")) as one, AdsClient(mesh.plaintext, node("b", "shop")) as two:
        for client in (one, two):
            await client.until(lambda client=client: client.names(LISTENER_TYPE) == {"inbound"})
        revision = mesh.change(mesh.service("reviews"))
        receipt = await mesh.receipt(revision)
        assert receipt["outstanding"] == ()
        assert receipt["acked"] == receipt["count"] == 2
        assert one.names(CLUSTER_TYPE) == two.names(CLUSTER_TYPE) == {HOST}
        assert one.names(ENDPOINT_TYPE) == {HOST}
        assert mesh.hub.engine.frames.shared > 0


async def test_a_late_receipt_names_what_the_proxy_waits_for_and_a_complete_one_where_the_time_went(mesh):
    async with AdsClient(mesh.plaintext, node("a", "shop")) as client:
        await client.until(lambda: client.names(LISTENER_TYPE) == {"inbound"})
        client.silent.add(CLUSTER_TYPE)
        revision = mesh.change(mesh.service("reviews"))
        await client.until(lambda: any(one.resources for one in client.responses if one.type_url == CLUSTER_TYPE))
        late = await mesh.answers.answer("receipt", {"revision": revision}, 0)
        assert (late["outstanding"], late["stages"], late["slowest"]) == (("a.shop",), {"a.shop": "ack"}, None)
    async with AdsClient(mesh.plaintext, node("b", "shop")) as client:
        await client.until(lambda: client.names(LISTENER_TYPE) == {"inbound"})
        whole = await mesh.receipt(mesh.change(mesh.service("details")))
        assert whole["slowest"]["proxy"] == "b.shop"
        assert whole["slowest"]["seconds"].keys() == {"queue", "compile", "send", "ack"}
        assert all(seconds >= 0 for seconds in whole["slowest"]["seconds"].values())


async def test_a_removed_cluster_goes_and_the_receipt_waits_for_it(mesh):
    mesh.change(mesh.service("reviews"), mesh.service("details"))
    async with AdsClient(mesh.plaintext, node("a", "shop")) as client:
        await client.until(lambda: len(client.names(CLUSTER_TYPE)) == 2)
        await mesh.receipt(mesh.change(deleted=["details"]))
        assert client.names(CLUSTER_TYPE) == {HOST}


async def test_a_refused_change_is_shown_and_not_sent_again(mesh):
    async with AdsClient(mesh.plaintext, node("a", "shop")) as client:
        await client.until(lambda: client.names(LISTENER_TYPE) == {"inbound"})
        client.refuse[CLUSTER_TYPE] = "no such thing"
        receipt = await mesh.receipt(mesh.change(mesh.service("reviews")))
        assert [one["proxy"] for one in receipt["failed"]] == ["a.shop"]
        [row] = await mesh.answers.answer("syncz", {}, 0)
        assert row["resources"]["cds"]["lastError"] == "no such thing"
        before = len(client.responses)
        del client.refuse[CLUSTER_TYPE]
        await mesh.receipt(mesh.change(mesh.service("details")))
        clusters = [r for r in client.responses[before:] if r.type_url == CLUSTER_TYPE]
        assert [one.name for response in clusters for one in response.resources] == ["details.shop.svc.cluster.local"]


async def test_a_state_of_the_world_client_is_served_by_name(mesh):
    """As a gRPC client without a proxy asks: explicit names, clusters too."""
    mesh.change(mesh.service("reviews"), mesh.service("details"))
    async with grpc.aio.insecure_channel(mesh.plaintext, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.stream_stream(SOTW, discovery_pb2.DiscoveryRequest.SerializeToString)()
        first = {"type_url": CLUSTER_TYPE, "resource_names": [HOST]}
        await call.write(discovery_pb2.DiscoveryRequest(node=node("a", "shop"), **first))
        clusters = discovery_pb2.DiscoveryResponse.FromString(await call.read())
        assert [cluster_pb2.Cluster.FromString(one.value).name for one in clusters.resources] == [HOST]
        await call.write(discovery_pb2.DiscoveryRequest(**first, response_nonce=clusters.nonce))
        await call.write(discovery_pb2.DiscoveryRequest(type_url=ENDPOINT_TYPE, resource_names=[HOST]))
        endpoints = discovery_pb2.DiscoveryResponse.FromString(await call.read())
        assert (endpoints.type_url, len(endpoints.resources)) == (ENDPOINT_TYPE, 1)
        call.cancel()
