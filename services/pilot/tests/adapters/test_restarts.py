"""A Pilot that starts again: from its copy on disk, before proxies that have everything and workloads that it knew."""

import asyncio
import contextlib
import signal
from datetime import UTC, datetime

import pytest
from meshcore.bus.last_copy import write_last_copy
from meshcore.distribution.digest import SetDigest
from meshcore.distribution.keys import kv_key
from meshcore.distribution.records import make_record
from meshcore.distribution.state_copy import StateCopy
from meshcore.testing.addresses import claim
from meshcore.testing.ads_client import AdsClient, node
from meshcore.testing.envoy import running_envoy
from meshcore.xds.types import CLUSTER_TYPE, NAME_TABLE_TYPE
from pilot_process import NOBODY
from real_envoy import bootstrap
from shop_objects import GROUP, SERVICE, other_service


def state_of(services):
    """A whole state for the disk."""
    now, total, records = datetime.now(UTC), SetDigest(), {}
    for document in services:
        key = kv_key("", "services", "shop", document["metadata"]["name"])
        records[key] = make_record(key, "store", 1, document, "", now)
        total.add(records[key].digest)
    return StateCopy("store", 1, 1, str(total), records)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_with_nats_and_galley_away_a_mesh_of_a_thousand_services_is_served_from_the_copy_on_disk(
    process, tmp_path, workload_credentials, workers
):
    copy = tmp_path / "pilot-1-state" / "config.copy"
    write_last_copy(copy, state_of(other_service(f"service-{number}") for number in range(1000)))
    running = await process("pilot-1", "--workers", workers, PILOT_NATS_URL=NOBODY)
    async with contextlib.AsyncExitStack() as stack:
        clients, served = 0, set()
        # Which of the processes a new connection comes to is the kernel's choice.
        while clients < 8 or len(served) < int(workers):
            client = AdsClient(running.secure, node(f"p{clients}", "shop"), workload_credentials())
            await stack.enter_async_context(client)
            await client.until(lambda client=client: len(client.names(CLUSTER_TYPE)) >= 1000)
            assert {f"outbound|80||service-{n}.shop.svc.cluster.local" for n in range(1000)} <= client.names(
                CLUSTER_TYPE
            )
            clients, served = clients + 1, {row["pilot"] for row in await running.get("/debug/syncz")}
        assert len(served) == int(workers)
    assert [path.name for path in copy.parent.iterdir()] == ["config.copy"]


def gateway(address):
    """A Gateway on an address of its own, and a route of it, to what needs no certificates."""
    server = {"hosts": ["*"], "bind": address, "port": {"number": 8080, "name": "http", "protocol": "HTTP"}}
    way = {"destination": {"host": "reviews.shop.svc.cluster.local"}}
    return (
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "edge", "namespace": "shop"},
            "spec": {"selector": {"app": "edge"}, "servers": [server]},
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "edge", "namespace": "shop"},
            "spec": {"hosts": ["*"], "gateways": ["edge"], "http": [{"route": [way]}]},
        },
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": "plain", "namespace": "shop"},
            "spec": {"host": "*.shop.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "DISABLE"}}},
        },
    )


async def test_a_real_envoy_whose_pilot_is_back_unchanged_is_sent_nothing(galley, process, tmp_path, reached):
    held = {"cds", "eds", "lds", "rds"}
    with claim() as block:
        await galley.publish(SERVICE, *gateway(block.address(1)))
        running = await process()
        who = bootstrap(f"{running.address}:15010", "DELTA_GRPC")
        metadata = {"NAMESPACE": "shop", "LABELS": {"app": "edge"}, "INSTANCE_IPS": block.address(1)}
        who["node"] = {
            "id": f"router~{block.address(1)}~e.shop~shop.svc.cluster.local",
            "cluster": "e",
            "metadata": metadata,
        }

        async def asked():
            async with asyncio.timeout(60):
                while not (rows := await running.get("/debug/syncz")) or not held <= rows[0]["resources"].keys():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

        async def sent():
            found = await running.figures()
            return {kind: found.get(f'pilot_xds_pushes{{type="{kind}"}}', 0.0) for kind in held}

        async with running_envoy(who, tmp_path) as envoy:
            await envoy.wait_live()
            await asked()
            assert all((await sent()).values())
            await reached((tmp_path / "pilot-1-state" / "config.copy").exists)
            await running.end(signal.SIGKILL)
            await running.start()
            await asked()
            assert not any((await sent()).values())
            receipt = await running.get(
                f"/api/v1/changes/{await galley.publish(other_service('ratings'))}/receipt", wait=30
            )
            assert receipt["proxies"] == {"count": 1, "acked": 1}
            assert await sent() == {"cds": 1, "eds": 1, "lds": 0, "rds": 0}


async def test_a_killed_pilot_de_registers_nobody_when_it_is_back(galley, process, workload_credentials):
    await galley.publish(SERVICE, GROUP)
    running = await process()

    def agent(number):
        who = node(f"r{number}", "shop", address=f"127.0.9.{number}", GENERATOR="agent", AUTO_REGISTER_GROUP="reviews")
        return AdsClient(running.secure, who, workload_credentials(), types=[NAME_TABLE_TYPE])

    async def addresses():
        services = {row["hostname"]: row for row in await running.get("/debug/registryz")}
        return {endpoint["address"] for endpoint in services["reviews.shop.svc.cluster.local"]["endpoints"]}

    everybody = {f"127.0.9.{number}" for number in (1, 2, 3)}
    async with agent(1), agent(2), agent(3):
        async with asyncio.timeout(60):
            while await addresses() != everybody:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await running.end(signal.SIGKILL)
    await running.start()
    assert await addresses() == everybody
    async with agent(1), agent(2), agent(3) as last:
        await last.until(lambda: last.names(NAME_TABLE_TYPE))
        # Past stability and grace, judged by the sweeps that the heartbeats count.
        async with asyncio.timeout(60):
            first = (await running.get("/debug/engine"))["instances"]["pilot-1"]["sweeps"]
            while (await running.get("/debug/engine"))["instances"]["pilot-1"]["sweeps"] < first + 15:
                assert await addresses() == everybody
                await asyncio.sleep(0.1)
