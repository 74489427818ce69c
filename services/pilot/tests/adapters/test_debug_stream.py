"""What istioctl asks over ADS: state of the world, a node without a proxy's config, one question."""

import json

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from envoy.service.status.v3 import csds_pb2
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE
from pilot.core.debug_question import DEBUG_TYPE, DUMP_TYPE, SYNC_TYPE

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
DELTA = METHOD.replace("Stream", "Delta")


def observer(namespace):
    return node("observer", namespace, GENERATOR="event")


async def ask(target, credentials, type_url, *names, namespace="istio-system", method=METHOD):
    """The response to one question; the acknowledgement behind it brings no other."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = (
        grpc.aio.insecure_channel(target, options)
        if credentials is None
        else grpc.aio.secure_channel(target, credentials, options)
    )
    async with channel:
        if method is METHOD:
            asked = discovery_pb2.DiscoveryRequest(type_url=type_url, resource_names=names)
            answer = discovery_pb2.DiscoveryResponse
        else:
            asked = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
            answer = discovery_pb2.DeltaDiscoveryResponse
        asked.node.CopyFrom(observer(namespace))
        call = channel.stream_stream(method)()
        await call.write(asked.SerializeToString())
        try:
            data = await call.read()
        except grpc.aio.AioRpcError as error:
            return error.code().name
        response = answer.FromString(data)
        asked.response_nonce = response.nonce
        await call.write(asked.SerializeToString())
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        return response


@pytest.fixture
def admin(workload_credentials):
    return workload_credentials("istio-system")


async def test_istioctl_is_told_how_far_each_proxy_is_and_is_none_itself(secure_mesh, workload_credentials, admin):
    async with (
        AdsClient(secure_mesh.secure, node("a", "shop"), workload_credentials()) as one,
        AdsClient(secure_mesh.secure, node("b", "bank"), workload_credentials("bank")) as other,
    ):
        for client in (one, other):
            await client.until(lambda client=client: client.names(LISTENER_TYPE))
        await secure_mesh.receipt(secure_mesh.change(secure_mesh.service("reviews")))
        response = await ask(secure_mesh.secure, admin, SYNC_TYPE)
        found = [csds_pb2.ClientConfig.FromString(item.value) for item in response.resources]
        assert [item.node.id for item in found] == ["a.shop", "b.bank"]
        words = {item.type_url: item.config_status for item in found[0].generic_xds_configs}
        assert words[CLUSTER_TYPE] == words[LISTENER_TYPE] == csds_pb2.ConfigStatus.SYNCED
        assert json.loads(response.control_plane.identifier)["ID"] == "pilot"
        mine = await ask(secure_mesh.secure, workload_credentials(), SYNC_TYPE, namespace="shop")
        assert [csds_pb2.ClientConfig.FromString(item.value).node.id for item in mine.resources] == ["a.shop"]
        delta = await ask(secure_mesh.secure, admin, SYNC_TYPE, "*", method=DELTA)
        assert [item.name for item in delta.resources] == ["a.shop", "b.bank"]


async def test_a_dump_has_what_is_compiled_and_is_for_its_namespace(secure_mesh, workload_credentials, admin):
    shop, bank = workload_credentials(), workload_credentials("bank")
    async with AdsClient(secure_mesh.secure, node("a", "shop"), shop) as client:
        await client.until(lambda: client.names(LISTENER_TYPE))
        await secure_mesh.receipt(secure_mesh.change(secure_mesh.service("reviews")))
        for credentials, namespace in ((admin, "istio-system"), (shop, "shop")):
            response = await ask(secure_mesh.secure, credentials, DUMP_TYPE, "a.shop", namespace=namespace)
            clusters = response.resources[0]
            assert clusters.type_url.endswith("ClustersConfigDump")
            assert b"reviews.shop.svc.cluster.local" in clusters.value
        assert await ask(secure_mesh.secure, bank, DUMP_TYPE, "a.shop", namespace="bank") == "PERMISSION_DENIED"
        assert await ask(secure_mesh.secure, admin, DUMP_TYPE, "nobody.shop") == "NOT_FOUND"
        assert await ask(secure_mesh.plaintext, None, DUMP_TYPE, "a.shop", namespace="shop") == "UNAUTHENTICATED"


async def test_every_debug_page_is_had_by_its_name(secure_mesh, workload_credentials, admin):
    """As `istioctl x internal-debug` asks."""
    async with AdsClient(secure_mesh.secure, node("a", "shop"), workload_credentials()) as client:
        await client.until(lambda: client.names(LISTENER_TYPE))
        response = await ask(secure_mesh.secure, admin, DEBUG_TYPE, "syncz")
        [item] = response.resources
        assert (item.type_url, response.type_url) == (DEBUG_TYPE, DEBUG_TYPE)
        assert [row["proxy"] for row in json.loads(item.value)] == ["a.shop"]
        absent = await ask(secure_mesh.secure, admin, DEBUG_TYPE, "config_dump?proxyID=nobody.shop")
        assert b"no proxy nobody.shop is connected" in absent.resources[0].value
        pages = await ask(secure_mesh.secure, admin, DEBUG_TYPE, "nonsense")
        assert b"there is no debug page 'nonsense'" in pages.resources[0].value
        shop = workload_credentials()
        assert await ask(secure_mesh.secure, shop, DEBUG_TYPE, "syncz", namespace="shop") == "PERMISSION_DENIED"


async def test_observers_do_not_hold_up_others(serve_mesh, workload_credentials):
    """One place for streams that are served their first config: who has had its answer gives it up."""
    async with serve_mesh(push_throttle=1) as mesh:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(mesh.secure, workload_credentials("istio-system"), options) as channel:
            asked = discovery_pb2.DiscoveryRequest(type_url=SYNC_TYPE, node=observer("istio-system"))
            call = channel.stream_stream(METHOD)()
            await call.write(asked.SerializeToString())
            assert discovery_pb2.DiscoveryResponse.FromString(await call.read()).type_url == SYNC_TYPE
            async with AdsClient(mesh.secure, node("a", "shop"), workload_credentials()) as client:
                await client.until(lambda: client.names(LISTENER_TYPE))
            call.cancel()
