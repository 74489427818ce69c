"""`python -m pilot --workers N`: one Pilot of several processes, and what a killed one of them costs."""

import asyncio
import contextlib
import os
import signal

from meshcore.bus.last_copy import read_last_copy
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import CLUSTER_TYPE, HEALTH_TYPE, LISTENER_TYPE, NAME_TABLE_TYPE
from pilot_process import NOBODY
from shop_objects import CLUSTER, GROUP, SERVICE, other_service


class Crowd:
    """Clients of a Pilot of two workers, eight and as many more as it takes until each worker has some: which of them a
    connection comes to is the kernel's choice."""

    def __init__(self, running, credentials, stack):
        self._running, self._credentials, self._stack = running, credentials, stack
        self.clients = {}

    async def connected(self, name, resume=None):
        client = AdsClient(self._running.secure, node(name, "shop"), self._credentials(), resume=resume)
        return await self._stack.enter_async_context(client)

    async def holders(self):
        return {row["proxy"].partition(".")[0]: row["pilot"] for row in await self._running.get("/debug/syncz")}

    async def gather(self):
        """All have a config; which process serves each."""
        async with asyncio.timeout(60):
            while len(self.clients) < 8 or len(set((held := await self.holders()).values())) < 2:
                name = f"p{len(self.clients)}"
                client = self.clients[name] = await self.connected(name)
                await client.until(lambda client=client: client.names(LISTENER_TYPE))
        assert held.keys() == self.clients.keys()
        assert set(held.values()) == {"pilot-1/w0", "pilot-1/w1"}
        return held

    async def come_back(self, before, galley, reached):
        """Those of the process that is gone, once all of them have noticed; then all take a change, and the others'
        streams never broke. Returns who is gone and the names of its clients."""
        await reached(lambda: any(client.ended for client in self.clients.values()))
        gone = before[next(name for name, client in self.clients.items() if client.ended)]
        theirs = {name for name, holder in before.items() if holder == gone}
        await reached(lambda: all(self.clients[name].ended for name in theirs))
        for name in theirs:
            self.clients[name] = await self.connected(name, self.clients[name].held)
        await galley.publish(other_service("ratings"))
        ratings = CLUSTER.replace("reviews", "ratings")
        for client in self.clients.values():
            await client.until(lambda client=client: ratings in client.names(CLUSTER_TYPE))
        assert not any(client.ended for client in self.clients.values())
        return gone, theirs


async def test_two_workers_share_the_port_and_answer_as_one(galley, process, workload_credentials, reached):
    group = await galley.publish(GROUP)
    running = await process("pilot-1", "--workers", "2", PILOT_PUSH_THROTTLE="100")
    async with contextlib.AsyncExitStack() as stack:
        crowd = Crowd(running, workload_credentials, stack)
        await crowd.gather()
        clients = list(crowd.clients.values())

        in_force = await running.get("/api/v1/in-force")
        assert in_force["instances_missing"] == []
        assert [one["pilot"] for one in in_force["items"]] == ["pilot-1/w0", "pilot-1/w1"]
        assert sum(one["proxies"]["connected"] for one in in_force["items"]) == len(clients)
        for one in in_force["items"]:
            (throttle,) = [bound for bound in one["bounds"] if bound["name"] == "push_throttle"]
            assert throttle["value"] == 50
            assert throttle["reason"] == "PILOT_PUSH_THROTTLE=100: a hard ceiling shared by 2 workers"
            assert (one["config"]["source"], one["config"]["revision"]) == ("bus", group)
        assert (await running.api.get("/api/v1/in-force", headers={"authorization": "Bearer x"})).status_code == 401

        revision = await galley.publish(SERVICE)
        receipt = await running.get(f"/api/v1/changes/{revision}/receipt", wait=30)
        assert receipt["complete"], receipt
        assert receipt["proxies"] == {"count": len(clients), "acked": len(clients)}
        assert all(CLUSTER in client.names(CLUSTER_TYPE) for client in clients)

        counted = f'pilot_xds{{version="1.28"}} {len(clients)}.0'
        async with asyncio.timeout(60):
            while counted not in (await running.api.get("/metrics")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await running.api.get("/metrics")).text.count("# TYPE pilot_xds_pushes ") == 1

        who = node("r1", "shop", address="127.0.9.1", GENERATOR="agent", AUTO_REGISTER_GROUP="reviews")
        async with AdsClient(running.secure, who, workload_credentials(), types=[NAME_TABLE_TYPE]) as agent:
            await clients[0].until(lambda: clients[0].addresses(CLUSTER) == {"127.0.9.1"})
            await agent.ask(HEALTH_TYPE, error="draining")
            # Well below the time after which the answer comes in any case.
            await agent.until(lambda: any(r.type_url == HEALTH_TYPE for r in agent.responses), seconds=4)
            assert all(client.addresses(CLUSTER) == set() for client in clients)


async def test_clients_of_a_dead_worker_come_back_on_another_and_the_others_are_served_meanwhile(
    galley, process, workload_credentials, reached
):
    await galley.publish(SERVICE)
    running = await process("pilot-1", "--workers", "2")
    children = set(running.children())
    async with contextlib.AsyncExitStack() as stack:
        crowd = Crowd(running, workload_credentials, stack)
        before = await crowd.gather()

        with running.frozen():  # so that the only ones who could take them in are those that live
            os.kill(min(children), signal.SIGKILL)
            dead, theirs = await crowd.come_back(before, galley, reached)
        assert {(await crowd.holders())[name] for name in theirs} == set(before.values()) - {dead}
        assert dead not in (await crowd.holders()).values()

        await reached(lambda: len(set(running.children()) - children) == 1)
        await running.wait_ready()
        async with asyncio.timeout(60):
            # Which of the processes a new connection comes to is the kernel's choice.
            while dead not in (await crowd.holders()).values():
                await crowd.connected(f"new-{len(await crowd.holders())}")


async def test_a_worker_that_hangs_is_started_again_and_the_clients_of_the_other_stay(
    galley, process, workload_credentials, reached
):
    await galley.publish(SERVICE)
    running = await process("pilot-1", "--workers", "2", PILOT_WORKER_SILENCE="3s")
    children = set(running.children())
    async with contextlib.AsyncExitStack() as stack:
        crowd = Crowd(running, workload_credentials, stack)
        before = await crowd.gather()

        hung = min(children)
        os.kill(hung, signal.SIGSTOP)
        await crowd.come_back(before, galley, reached)

        await running.wait_ready()
        now = set(running.children())
        assert len(now) == 2
        assert now & children == children - {hung}
        figures = await running.figures()
        assert figures['pilot_worker_restarts{reason="silent"}'] == 1
        assert 'pilot_worker_restarts{reason="ended"}' not in figures


async def test_what_several_workers_kept_serves_a_pilot_of_another_number_of_them(
    galley, process, tmp_path, workload_credentials, reached
):
    await galley.publish(SERVICE)
    running = await process("pilot-1", "--workers", "2")
    state = tmp_path / "pilot-1-state"
    await reached((state / "config.copy").exists)
    revision = await galley.publish(other_service("ratings"))
    await reached(lambda: read_last_copy(state / "config.copy").revision == revision)
    await running.end()
    assert {path.name for path in state.iterdir()} <= {"config.copy", "registered.json"}
    alone = await process("pilot-1", PILOT_NATS_URL=NOBODY)
    async with AdsClient(alone.secure, node("p", "shop"), workload_credentials()) as client:
        await client.until(lambda: {CLUSTER, CLUSTER.replace("reviews", "ratings")} <= client.names(CLUSTER_TYPE))
