"""The metrics of Pilot's engine, as `/metrics` shows them."""

import contextlib

from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE
from shop_objects import CLUSTER, SERVICE, other_service

RULE_OF_NOBODY = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "nobody", "namespace": "shop"},
    "spec": {"host": "nobody.shop.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "DISABLE"}}},
}


async def test_a_push_moves_the_metrics_of_the_engine_and_one_that_brings_nothing_does_not(
    galley, process, workload_credentials
):
    await galley.publish(SERVICE)
    running = await process()
    async with contextlib.AsyncExitStack() as stack:
        clients = [AdsClient(running.secure, node(f"p{number}", "shop"), workload_credentials()) for number in range(3)]
        for client in clients:
            await stack.enter_async_context(client)
            await client.until(
                lambda client=client: CLUSTER in client.names(CLUSTER_TYPE) and client.names(LISTENER_TYPE)
            )

        async def moved(*documents):
            before = await running.figures()
            revision = await galley.publish(*documents)
            receipt = await running.get(f"/api/v1/changes/{revision}/receipt", wait=30)
            assert receipt["complete"], receipt
            assert receipt["proxies"]["acked"] == 3
            after = await running.figures()
            return {name: value - before.get(name, 0.0) for name, value in after.items() if value != before.get(name)}

        # Behind it everybody has acknowledged what there was at the start.
        await moved(other_service("first"))
        grown = await moved(other_service("ratings"))
        assert grown['pilot_xds_pushes{type="cds"}'] == 3
        assert grown['pilot_xds_pushes{type="eds"}'] == 3
        assert grown['pilot_push_triggers{type="config"}'] == 3
        assert grown["pilot_proxy_convergence_time_count"] == 3
        assert grown["pilot_proxy_queue_time_count"] == 3
        # One compile for the class that all three are of.
        assert grown['pilot_xds_push_time_count{type="all"}'] == grown["pilot_compiles"] == 1
        assert grown["pilot_xds_send_time_count"] == grown["pilot_xds_ack_time_count"] >= 6
        assert grown["pilot_xds_frames_built"] + grown["pilot_xds_frames_shared"] == grown["pilot_xds_send_time_count"]
        assert grown["pilot_xds_frames_shared"] >= 4
        assert grown["pilot_compile_memo_hits"] > 0
        assert grown["pilot_compile_memo_misses"] > 0
        assert grown["pilot_services"] == 1
        assert grown['pilot_inbound_updates{type="config"}'] == 1

        # It might have concerned everybody.
        grown = await moved(RULE_OF_NOBODY)
        assert grown["pilot_compiles"] == 1
        told = ("pilot_xds_pushes", "pilot_push_triggers", "pilot_proxy", "pilot_xds_send", "pilot_xds_ack")
        assert not [name for name in grown if name.startswith(told)]
