"""A real Envoy on a real stream: no window of 503 while clusters come and go, no 15 s of warming."""

import asyncio
import contextlib

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from meshcore.runtime import tasks
from meshcore.testing.addresses import claim
from meshcore.testing.envoy import running_envoy
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.session import AdsSession
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from real_envoy import ADS, PORT, VARIANTS, Traffic, answer, bootstrap, listener


def routing_to_the_newest(block, routes=lambda newest: "r"):
    """A compiler for one Envoy: a cluster per service, and one route, to the service that comes last by name, in a
    configuration that `routes` names."""

    def compile_class(snapshot, proxy_class):
        packed = []
        for key, service in snapshot.registry.services.items():
            cluster = cluster_pb2.Cluster(name=key.host, type=cluster_pb2.Cluster.EDS)
            cluster.connect_timeout.seconds = service.ports[0].number
            cluster.eds_cluster_config.eds_config.CopyFrom(ADS)
            packed.append(PackedResource.pack(CLUSTER_TYPE, key.host, cluster))
            assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=key.host)
            address = assignment.endpoints.add().lb_endpoints.add().endpoint.address.socket_address
            address.address, address.port_value = block.address(2), PORT
            packed.append(PackedResource.pack(ENDPOINT_TYPE, key.host, assignment))
        newest = max(snapshot.registry.services).host if snapshot.registry.services else ""
        made = route_pb2.RouteConfiguration(name=routes(newest))
        if newest:
            host = made.virtual_hosts.add(name="all", domains=["*"])
            host.routes.add(match=route_components_pb2.RouteMatch(prefix="/")).route.cluster = newest
        packed.append(PackedResource.pack(ROUTE_TYPE, made.name, made))
        packed.append(PackedResource.pack(LISTENER_TYPE, "l", listener(block.address(1), made.name)))
        return ResourceSet.of(packed)

    return compile_class


@pytest.fixture
async def block():
    with claim() as claimed:
        server = await asyncio.start_server(answer, claimed.address(2), PORT)
        yield claimed
        server.close()


@pytest.mark.parametrize("variant", VARIANTS)
async def test_clusters_come_and_go_under_traffic_without_a_failed_request(
    serve_mesh, block, tmp_path, reached, variant
):
    async with serve_mesh(compile_class=routing_to_the_newest(block)) as mesh:
        mesh.change(mesh.service("s000"))
        async with running_envoy(bootstrap(mesh.plaintext, variant), tmp_path) as envoy:
            await envoy.wait_live()
            traffic = Traffic(f"http://{block.address(1)}:{PORT}/")
            async with tasks.background(traffic.run(), name="traffic") as running:
                await reached(lambda: len(traffic.codes) > 5 or running.done())
                for number in range(1, 31):
                    revision = mesh.change(mesh.service(f"s{number:03}"), deleted=[f"s{number - 1:03}"])
                    receipt = await mesh.receipt(revision)
                    assert (receipt["acked"], receipt["outstanding"]) == (1, ())
                    seen = len(traffic.codes)
                    await reached(lambda seen=seen: len(traffic.codes) > seen or running.done())
            assert set(traffic.codes) == {200}
            assert await envoy.stat("cluster_manager.active_clusters") == 2


@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_listener_whose_routes_have_another_name_goes_on_with_those_it_has_until_they_come(
    serve_mesh, block, tmp_path, reached, variant
):
    async with serve_mesh(compile_class=routing_to_the_newest(block, lambda newest: f"r-{newest}")) as mesh:
        mesh.change(mesh.service("s000"))
        async with running_envoy(bootstrap(mesh.plaintext, variant), tmp_path) as envoy:
            await envoy.wait_live()
            traffic = Traffic(f"http://{block.address(1)}:{PORT}/")
            async with tasks.background(traffic.run(), name="traffic") as running:
                await reached(lambda: len(traffic.codes) > 5 or running.done())
                for number in range(1, 16):
                    revision = mesh.change(mesh.service(f"s{number:03}"))
                    receipt = await mesh.receipt(revision)
                    assert (receipt["acked"], receipt["outstanding"]) == (1, ())
                    seen = len(traffic.codes)
                    await reached(lambda seen=seen: len(traffic.codes) > seen or running.done())
            assert set(traffic.codes) == {200}


@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_changed_cluster_with_unchanged_endpoints_is_warm_at_once(serve_mesh, block, tmp_path, variant):
    async with serve_mesh(compile_class=routing_to_the_newest(block)) as mesh:
        mesh.change(mesh.service("reviews"))
        async with running_envoy(bootstrap(mesh.plaintext, variant), tmp_path) as envoy:
            await envoy.wait_live()
            for port in range(2, 12):
                changed = mesh.service("reviews", ports=[{"name": "http", "port": port}])
                receipt = await mesh.receipt(mesh.change(changed))
                assert receipt["acked"] == 1
                assert await envoy.stat("cluster_manager.warming_clusters") == 0
            # Envoy counts those that it waited for in vain, for 15 s.
            assert await envoy.stat("cluster.reviews.shop.svc.cluster.local.init_fetch_timeout") == 0


@pytest.mark.parametrize("broken", [False, True], ids=["away", "between clusters and endpoints"])
@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_cluster_that_changes_while_its_pilot_is_replaced_is_warm_at_once(
    serve_mesh, block, tmp_path, reached, monkeypatch, variant, broken
):
    """Also if the stream breaks when Envoy has the cluster and its endpoints have not come after it."""

    def changed(mesh, port):
        return mesh.change(mesh.service("reviews", ports=[{"name": "http", "port": port}]))

    # At an address that nobody takes while no Pilot is there.
    address = {"host": block.address(3), "plaintext_port": 15010}
    options = {"compile_class": routing_to_the_newest(block), **address}
    async with contextlib.AsyncExitStack() as stack:
        async with serve_mesh(**options) as first:
            changed(first, 2)
            envoy = await stack.enter_async_context(running_envoy(bootstrap(first.plaintext, variant), tmp_path))
            await envoy.wait_live()
            if broken:
                with monkeypatch.context() as patch:
                    patch.setattr(AdsSession, "_resend_endpoints", lambda session, move: None)
                    changed(first, 3)
                    async with asyncio.timeout(60):
                        while not await envoy.stat("cluster_manager.warming_clusters"):  # noqa: ASYNC110
                            await asyncio.sleep(0.02)
        async with serve_mesh(**options) as second:
            changed(second, 3)
            await reached(lambda: second.hub.engine.streams)
            receipt = await second.receipt(changed(second, 4))
            assert (receipt["acked"], receipt["outstanding"]) == (1, ())
            assert await envoy.stat("cluster_manager.warming_clusters") == 0
            assert "4s" in await envoy.get("/config_dump?resource=dynamic_active_clusters")
