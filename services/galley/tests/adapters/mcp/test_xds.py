"""MCP over xDS with a client that behaves as istiod does."""

import asyncio

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from galley.core.storage import Verb
from meshcore.testing.identity import make_ca

from .conftest import Istiod, serving

ASKED = (
    "core/v1alpha1/MeshConfig",
    *(
        f"networking.istio.io/v1/{kind}"
        for kind in (
            "DestinationRule",
            "Gateway",
            "ServiceEntry",
            "Sidecar",
            "VirtualService",
            "WorkloadEntry",
            "WorkloadGroup",
        )
    ),
    "networking.istio.io/v1alpha3/EnvoyFilter",
    "networking.istio.io/v1beta1/ProxyConfig",
    "security.istio.io/v1/AuthorizationPolicy",
    "security.istio.io/v1/PeerAuthentication",
    "security.istio.io/v1/RequestAuthentication",
    "telemetry.istio.io/v1/Telemetry",
    "extensions.istio.io/v1alpha1/WasmPlugin",
    "extensions.istio.io/v1alpha1/TrafficExtension",
)
ENTRY = "networking.istio.io/v1/ServiceEntry"


async def synced(istiod: Istiod, types=ASKED):
    for type_url in types:
        await istiod.ask(type_url)
    while istiod.responses < len(types):
        await istiod.receive()


async def test_an_istiod_is_synced_and_follows_every_change(galley):
    await galley.write(Verb.CREATE, "a")
    async with galley.istiod() as istiod:
        await synced(istiod)
        assert set(istiod.config) == set(ASKED) - {"core/v1alpha1/MeshConfig"}
        assert set(istiod.config[ENTRY]) == {"shop/a"}
        before = istiod.config[ENTRY]["shop/a"]
        await galley.write(Verb.UPDATE, "a", "other.example.com")
        await galley.write(Verb.CREATE, "b")
        while set(istiod.config[ENTRY]) != {"shop/a", "shop/b"}:
            assert (await istiod.receive()).type_url == ENTRY
        assert istiod.config[ENTRY]["shop/a"] != before
        await galley.write(Verb.DELETE, "a")
        while set(istiod.config[ENTRY]) != {"shop/b"}:
            await istiod.receive()


async def test_older_names_get_the_same_under_the_name_that_was_asked(galley):
    await galley.write(Verb.CREATE, "a")
    async with galley.istiod() as istiod:
        old = "networking.istio.io/v1alpha3/ServiceEntry"
        await synced(istiod, (old, ENTRY))
        assert istiod.config[old] == istiod.config[ENTRY] != {}


async def test_secrets_config_maps_and_namespaces_never_leave(galley):
    async with galley.istiod() as istiod:
        types = ("core/v1/Secret", "core/v1/ConfigMap", "core/v1/Namespace", "v1/Namespace", "whatever")
        await synced(istiod, types)
        assert istiod.config == {type_url: {} for type_url in types}


async def test_ten_istiods_see_the_same(galley):
    await galley.write(Verb.CREATE, "many", count=50)

    async def one():
        async with galley.istiod() as istiod:
            await synced(istiod, (ENTRY,))
            return istiod.config[ENTRY]

    first, *others = await asyncio.gather(*(one() for _ in range(10)))
    assert len(first) == 50
    assert all(other == first for other in others)


async def test_the_port_is_closed_until_a_network_is_allowed(store):
    async with serving(store, make_ca()) as galley:
        assert "mcp-xds" not in galley.runtime.ports


async def test_who_is_in_no_allowed_network_gets_nothing(store):
    async with serving(store, make_ca(), mcp_xds_allow="10.0.0.0/8,fd00::/8") as galley, galley.istiod() as istiod:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await istiod.call.read()
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_delta_is_not_served(galley):
    async with galley.channel("mcp-xds", None) as channel:
        call = channel.stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
            request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
        )()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
