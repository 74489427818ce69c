"""A real Envoy that has an endpoint at one address, and is told of another one of the same workload."""

import asyncio
import contextlib
import socket

import httpx
import pytest
from envoy.config.route.v3 import route_components_pb2, route_pb2
from meshcore.runtime import tasks
from meshcore.testing.addresses import claim
from meshcore.testing.envoy import running_envoy
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from pilot.core.compiler import compile_resources
from real_envoy import PORT, VARIANTS, Traffic, answer, bootstrap, listener

CLUSTER = "outbound|80||eyes.shop.svc.cluster.local"
STATS = f"cluster.{CLUSTER};"
MESH = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "istio", "namespace": "istio-system"},
    "data": {"mesh": '{enableAutoMtls: false, defaultConfig: {proxyMetadata: {ISTIO_DUAL_STACK: "true"}}}'},
}
NOBODYS = "100::1"


def with_one_route(address):
    """A compiler that makes the cluster and its endpoints as Pilot does, and a listener that leads there."""

    def compile_class(snapshot, proxy_class):
        made = compile_resources(snapshot, proxy_class)
        routes = route_pb2.RouteConfiguration(name="r")
        host = routes.virtual_hosts.add(name="all", domains=["*"])
        host.routes.add(match=route_components_pb2.RouteMatch(prefix="/")).route.cluster = CLUSTER
        return ResourceSet.of(
            [
                made.of_type(CLUSTER_TYPE)[CLUSTER],
                made.of_type(ENDPOINT_TYPE)[CLUSTER],
                PackedResource.pack(ROUTE_TYPE, "r", routes),
                PackedResource.pack(LISTENER_TYPE, "l", listener(address)),
            ]
        )

    return compile_class


def part(family, port, *addresses):
    """The slice of one family; every address is the same pod's."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"eyes-{family.lower()}",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "eyes"},
        },
        "addressType": family,
        "ports": [{"name": "http", "port": port}],
        "endpoints": [{"addresses": [item], "targetRef": {"kind": "Pod", "name": "eyes-0"}} for item in addresses],
    }


def of_both_families(target, variant):
    made = bootstrap(target, variant)
    made["node"]["metadata"] = {"INSTANCE_IPS": "127.0.0.1,::1"}
    return made


@pytest.fixture
def block():
    with claim() as claimed:
        yield claimed


@pytest.fixture
async def port():
    """Where a server answers at the IPv6 loopback address."""
    try:
        server = await asyncio.start_server(answer, "::1", 0, family=socket.AF_INET6)
    except OSError as error:
        pytest.fail(f"needs IPv6 on the loopback interface (sysctl -w net.ipv6.conf.lo.disable_ipv6=0): {error}")
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
def serve_eyes(serve_mesh, block):
    return serve_mesh(compile_class=with_one_route(block.address(1)))


async def comes_to_answer(client, url, code):
    """Whether that is what requests are answered with in the end: Envoy's workers are a moment behind what it says."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            while (await client.get(url)).status_code != code:
                pass
            return True
    return False


@pytest.mark.parametrize("variant", VARIANTS)
async def test_an_envoy_follows_the_second_address_of_an_endpoint_that_it_has(
    serve_eyes, block, port, tmp_path, variant
):
    url = f"http://{block.address(1)}:{PORT}/"
    async with serve_eyes as mesh, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        eyes = mesh.service("eyes", ipFamilies=["IPv4", "IPv6"])
        mesh.change(MESH, eyes, part("IPv4", port, block.address(3)))
        async with running_envoy(of_both_families(mesh.plaintext, variant), tmp_path) as envoy:
            await envoy.wait_live()
            assert await envoy.stat(f"{STATS}.membership_total") == 1
            assert await comes_to_answer(client, url, 503)
            for second, code in ((["::1"], 200), ([], 503), ([NOBODYS], None), (["::1"], 200)):
                receipt = await mesh.receipt(mesh.change(part("IPv6", port, *second)))
                assert (receipt["acked"], receipt["outstanding"]) == (1, ())
                assert code is None or await comes_to_answer(client, url, code)


@pytest.mark.parametrize("variant", VARIANTS)
async def test_no_request_fails_while_second_addresses_come_and_go(serve_eyes, block, port, tmp_path, reached, variant):
    server = await asyncio.start_server(answer, block.address(3), port)
    async with server, serve_eyes as mesh:
        eyes = mesh.service("eyes", ipFamilies=["IPv4", "IPv6"])
        mesh.change(MESH, eyes, part("IPv4", port, block.address(3)))
        async with running_envoy(of_both_families(mesh.plaintext, variant), tmp_path) as envoy:
            await envoy.wait_live()
            before = await envoy.stat(f"{STATS}.membership_change")
            traffic = Traffic(f"http://{block.address(1)}:{PORT}/")
            async with tasks.background(traffic.run(), name="traffic") as running:
                for second in (["::1"], []) * 10:
                    await mesh.receipt(mesh.change(part("IPv6", port, *second)))
                    seen = len(traffic.codes)
                    await reached(lambda seen=seen: len(traffic.codes) > seen or running.done())
            assert set(traffic.codes) == {200}
            assert await envoy.stat(f"{STATS}.membership_change") == before + 20
