"""Two Pilots, and one without NATS: receipts are whole or say what is missing."""

import asyncio

import pytest
from meshcore.errors import ErrorCode, MeshError
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE

SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "reviews", "namespace": "shop"},
    "spec": {"ports": [{"name": "http", "port": 80}], "clusterIP": "10.0.0.1"},
}
PATIENT = {"heartbeat_interval": "2s", "query_deadline": "20s"}
"""Of Pilots that are all there: one that a busy machine keeps waiting is not taken for one that is gone."""
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


async def test_a_receipt_counts_the_proxies_of_every_pilot(galley, pilot, workload_credentials, reached):
    await galley.publish(NAMESPACE)
    async with pilot("pilot-1", **PATIENT) as one, pilot("pilot-2", **PATIENT) as two:
        await reached(lambda: one.source.members() == {"pilot-2"} and two.source.members() == {"pilot-1"})
        credentials = workload_credentials()
        async with (
            AdsClient(one.secure, node("a", "shop"), credentials) as first,
            AdsClient(two.secure, node("b", "shop"), credentials) as second,
        ):
            for client in (first, second):
                await client.until(lambda client=client: client.names(LISTENER_TYPE))
            revision = await galley.publish(SERVICE)
            for running in (one, two):
                receipt = await running.receipt(revision)
                assert receipt.complete
                assert (receipt.proxies.count, receipt.proxies.acked) == (2, 2)
                assert receipt.convergence_ms > 0
                assert receipt.instances_missing == []
            assert first.names(CLUSTER_TYPE) == second.names(CLUSTER_TYPE) == {"reviews.shop.svc.cluster.local"}
            second.silent.add(CLUSTER_TYPE)
            revision = await galley.publish({**SERVICE, "metadata": {"name": "details", "namespace": "shop"}})
            await first.until(lambda: len(first.names(CLUSTER_TYPE)) == 2)
            async with asyncio.timeout(60):
                # What the first one has, it has yet to acknowledge.
                while (receipt := await one.receipt(revision, wait=0.3)).outstanding != ["b.shop"]:
                    assert not receipt.complete
            assert not receipt.complete


async def test_an_instance_that_does_not_answer_is_named(galley, pilot, reached):
    await galley.publish(NAMESPACE)
    async with pilot("pilot-1") as one, pilot("pilot-2") as two:
        await reached(lambda: one.source.members() == {"pilot-2"} and two.source.members() == {"pilot-1"})
        revision = await galley.publish(SERVICE)
        await two.receipt(revision)
        two.source._local = None
        receipt = await one.receipt(revision, wait=0)
        assert not receipt.complete
        assert receipt.instances_missing == ["pilot-2"]


async def test_a_revision_that_concerns_nobody_is_complete_and_others_have_their_errors(galley, pilot):
    await galley.publish(NAMESPACE)
    async with pilot() as running:
        revision = await galley.publish(SERVICE)
        receipt = await running.receipt(revision)
        assert receipt.complete
        assert receipt.proxies.count == 0
        with pytest.raises(MeshError) as unknown:
            await running.receipt(revision + 1, wait=0)
        assert unknown.value.code is ErrorCode.NOT_FOUND
        with pytest.raises(MeshError) as old:
            await running.receipt(1)
        assert old.value.code is ErrorCode.GONE


async def test_pilot_starts_from_its_last_copy_while_nats_is_away(nats, galley, pilot, workload_credentials):
    await galley.publish(NAMESPACE, SERVICE)
    async with pilot():
        pass
    nats.kill()
    async with pilot() as running, AdsClient(running.secure, node("a", "shop"), workload_credentials()) as client:
        await client.until(lambda: client.names(CLUSTER_TYPE) == {"reviews.shop.svc.cluster.local"})


async def test_a_killed_nats_ends_no_stream_and_the_next_change_comes(nats, galley, pilot, workload_credentials):
    await galley.publish(NAMESPACE)
    async with pilot() as running, AdsClient(running.secure, node("a", "shop"), workload_credentials()) as client:
        await client.until(lambda: client.names(LISTENER_TYPE))
        nats.kill()
        nats.start()
        revision = await galley.publish(SERVICE)
        receipt = await running.receipt(revision)
        assert receipt.proxies.acked == 1
        assert not client.ended
