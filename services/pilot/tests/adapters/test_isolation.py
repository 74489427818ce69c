"""A real Envoy that refuses a part of what it is given: the rest goes on, the part keeps its last good form."""

import asyncio
import json

import httpx
import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.direct_response.v3 import config_pb2
from meshcore.testing.addresses import claim
from meshcore.testing.envoy import running_envoy
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import LISTENER_TYPE, ROUTE_TYPE
from pilot.core import status
from pilot.core.isolation import Form
from real_envoy import PORT, VARIANTS, bootstrap, listener

VIRTUAL_HOSTS = 9


def one_host_per_service(address):
    """A virtual host for each service, which answers with the service's port; port 666 makes one that Envoy refuses."""

    def compile_class(snapshot, proxy_class):
        routes = route_pb2.RouteConfiguration(name="r")
        for key, service in sorted(snapshot.registry.services.items()):
            host = routes.virtual_hosts.add(name=key.host, domains=[key.host.partition(".")[0]])
            route = host.routes.add(name="all")
            route.match.prefix = "/"
            number = service.ports[0].number
            route.direct_response.status = 200
            route.direct_response.body.inline_string = str(number)
            if number == 666:
                route.response_headers_to_add.add().header.key = "x"
                route.response_headers_to_add[0].header.value = "%NO_SUCH_OPERATOR%"
        return ResourceSet.of(
            [PackedResource.pack(ROUTE_TYPE, "r", routes), PackedResource.pack(LISTENER_TYPE, "l", listener(address))]
        )

    return compile_class


def one_chain_per_service():
    """A filter chain for each service, by the address that is called, which answers with the service's port; port 666
    makes one that Envoy refuses."""

    def compile_class(snapshot, proxy_class):
        made = listener_pb2.Listener(name="l")
        made.address.socket_address.address, made.address.socket_address.port_value = "0.0.0.0", 0
        made.bind_to_port.value = False
        for number, (key, service) in enumerate(sorted(snapshot.registry.services.items())):
            chain = made.filter_chains.add(name=key.host)
            chain.filter_chain_match.destination_port.value = 1000 + number
            wanted = service.ports[0].number
            said = config_pb2.Config(response={"inline_string": str(wanted)})
            chain.filters.add(name="direct").typed_config.Pack(said)
            if wanted == 666:
                chain.filters[0].name = "again"
                chain.filters.add(name="direct").typed_config.Pack(said)
        return ResourceSet.of([PackedResource.pack(LISTENER_TYPE, "l", made)])

    return compile_class


def port(mesh, name, number):
    return mesh.service(name, ports=[{"name": "http", "port": number}])


@pytest.fixture
def block():
    with claim() as claimed:
        yield claimed


class Caller:
    def __init__(self, client, address):
        self._client = client
        self._url = f"http://{address}:{PORT}/"

    async def __call__(self, host):
        found = await self._client.get(self._url, headers={"host": host})
        return found.text if found.status_code == 200 else found.status_code

    async def until(self, **wanted):
        async with asyncio.timeout(60):
            while {host: await self(host) for host in wanted} != wanted:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)


@pytest.fixture
async def call(block):
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield Caller(client, block.address(1))


@pytest.mark.parametrize("variant", VARIANTS)
async def test_a_virtual_host_that_is_refused_keeps_its_last_good_form_and_the_others_change(
    serve_mesh, block, call, tmp_path, reached, variant
):
    async with serve_mesh(compile_class=one_host_per_service(block.address(1))) as mesh:
        mesh.change(*(port(mesh, f"s{number}", 1) for number in range(VIRTUAL_HOSTS)))
        async with running_envoy(bootstrap(mesh.plaintext, variant), tmp_path) as envoy:
            await envoy.wait_live()
            await call.until(s0="1", s8="1")
            refused = mesh.change(port(mesh, "s0", 666), port(mesh, "s1", 2))
            receipt = await mesh.receipt(refused)
            assert [one["proxy"] for one in receipt["failed"]] == ["e.shop"]
            await call.until(s0="1", s1="2")
            taken = await mesh.receipt(mesh.change(port(mesh, "s2", 3)))
            assert (taken["acked"], taken["failed"]) == (1, ())
            await call.until(s0="1", s2="3")
            [row] = status.sync_rows(mesh.hub.engine)
            assert not row["synced"]
            assert row["resources"]["rds"]["heldBack"] == [
                "s0.shop.svc.cluster.local of r: the proxy has its last good form"
            ]
            assert "NO_SUCH_OPERATOR" in row["resources"]["rds"]["lastError"]
            await mesh.receipt(mesh.change(port(mesh, "s0", 4)))
            await call.until(s0="4", s1="2", s2="3")
            await reached(lambda: status.sync_rows(mesh.hub.engine)[0]["synced"])


@pytest.mark.parametrize("bad", [1, 3])
async def test_an_envoy_that_comes_later_has_all_but_what_is_refused(serve_mesh, block, call, tmp_path, reached, bad):
    names = [f"s{number}" for number in range(VIRTUAL_HOSTS)]
    async with serve_mesh(compile_class=one_host_per_service(block.address(1))) as mesh:
        mesh.change(*(port(mesh, name, 666 if name in names[2 : 2 + bad] else 1) for name in names))
        async with running_envoy(bootstrap(mesh.plaintext, "DELTA_GRPC"), tmp_path) as envoy:
            await envoy.wait_live()
            expected = {name: 503 if name in names[2 : 2 + bad] else "1" for name in names}
            await call.until(**expected)
            wanted = {(f"{name}.shop.svc.cluster.local", Form.SHUT) for name in names[2 : 2 + bad]}
            await reached(lambda: held(mesh) == wanted)
            await mesh.receipt(mesh.change(port(mesh, "s8", 5)))
            await call.until(s8="5")


async def test_a_filter_chain_that_is_refused_is_the_only_one_that_does_not_change(serve_mesh, tmp_path, reached):
    async with serve_mesh(compile_class=one_chain_per_service()) as mesh:
        mesh.change(*(port(mesh, f"s{number}", 1) for number in range(4)))
        async with running_envoy(bootstrap(mesh.plaintext, "DELTA_GRPC"), tmp_path) as envoy:
            await envoy.wait_live()

            async def said():
                dump = json.loads(await envoy.get("/config_dump?resource=dynamic_listeners"))
                # One that is refused is beside it.
                [one] = [found for found in dump["configs"] if "active_state" in found]
                chains = one["active_state"]["listener"]["filter_chains"]
                return [chain["filters"][0]["typed_config"]["response"]["inline_string"] for chain in chains]

            async def says(*wanted):
                async with asyncio.timeout(60):
                    while await said() != list(wanted):  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.02)

            await reached(lambda: status.sync_rows(mesh.hub.engine)[0]["synced"])
            assert await said() == ["1", "1", "1", "1"]
            await mesh.receipt(mesh.change(port(mesh, "s1", 666), port(mesh, "s2", 2)))
            # One part may be held back on the way, too: it is found when Envoy has everything else.
            await says("1", "1", "2", "1")
            kept = {("s1.shop.svc.cluster.local", Form.LAST_GOOD)}
            await reached(lambda: held(mesh) == kept)
            taken = await mesh.receipt(mesh.change(port(mesh, "s3", 3)))
            assert (taken["acked"], taken["failed"]) == (1, ())
            assert await said() == ["1", "1", "2", "3"]
            assert held(mesh) == kept
            await mesh.receipt(mesh.change(port(mesh, "s1", 7)))
            assert await said() == ["1", "7", "2", "3"]
            await reached(lambda: status.sync_rows(mesh.hub.engine)[0]["synced"])
            assert not held(mesh)


def held(mesh):
    engine = mesh.hub.engine
    return {(one.part, one.form) for stream in engine.streams.values() for one in engine.held_back(stream)}
