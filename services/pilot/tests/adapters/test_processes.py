"""`python -m pilot` as it is started by users: workers, and what a killed process costs."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from datetime import UTC, datetime

import httpx
import psutil
import pytest
from meshcore.bus.last_copy import read_last_copy, write_last_copy
from meshcore.distribution.digest import SetDigest
from meshcore.distribution.keys import kv_key
from meshcore.distribution.records import make_record
from meshcore.distribution.state_copy import StateCopy
from meshcore.http.callers import Role
from meshcore.http.tokens import token_entry
from meshcore.testing.addresses import claim
from meshcore.testing.ads_client import AdsClient, node
from meshcore.testing.envoy import running_envoy
from meshcore.testing.identity import write_identity
from meshcore.xds.types import CLUSTER_TYPE, HEALTH_TYPE, LISTENER_TYPE, NAME_TABLE_TYPE
from real_envoy import bootstrap

TOKEN = "for-this-test-only"
CLUSTER = "outbound|80||reviews.shop.svc.cluster.local"
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "reviews", "namespace": "shop"},
    "spec": {"ports": [{"name": "http", "port": 80}], "clusterIP": "10.0.0.1", "selector": {"app": "reviews"}},
}
GROUP = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "WorkloadGroup",
    "metadata": {"name": "reviews", "namespace": "shop"},
    "spec": {"metadata": {"labels": {"app": "reviews"}}, "template": {"serviceAccount": "default"}},
}


RULE_OF_NOBODY = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "nobody", "namespace": "shop"},
    "spec": {"host": "nobody.shop.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "DISABLE"}}},
}
NOBODY = "nats://127.0.0.1:1"


def other_service(name):
    return {**SERVICE, "metadata": {"name": name, "namespace": "shop"}}


def state_of(services):
    """A whole state for the disk."""
    now, total, records = datetime.now(UTC), SetDigest(), {}
    for document in services:
        key = kv_key("", "services", "shop", document["metadata"]["name"])
        records[key] = make_record(key, "store", 1, document, "", now)
        total.add(records[key].digest)
    return StateCopy("store", 1, 1, str(total), records)


class PilotProcess:
    """One `python -m pilot` on an address of its own."""

    def __init__(self, address, environment, *arguments):
        self.address = address
        self._environment = environment
        self._arguments = arguments
        self._process = None
        self.api = httpx.AsyncClient(
            base_url=f"http://{address}:15014",
            headers={"authorization": f"Bearer {TOKEN}"},
            trust_env=False,
            timeout=30,
        )

    @property
    def secure(self):
        return f"{self.address}:15012"

    async def start(self):
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pilot", *self._arguments, env={**os.environ, **self._environment}
        )
        await self.wait_ready()

    async def wait_ready(self):
        async with asyncio.timeout(60):
            while not await self._ready():
                assert self._process.returncode is None, "pilot ended"
                await asyncio.sleep(0.05)

    async def _ready(self):
        with contextlib.suppress(httpx.TransportError):
            return (await self.api.get("/readyz")).status_code == 200
        return False

    async def get(self, path, **parameters):
        answer = await self.api.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def end(self, number=signal.SIGTERM):
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            async with asyncio.timeout(15):
                await self._process.wait()

    def children(self):
        return [child.pid for child in psutil.Process(self._process.pid).children()]


@pytest.fixture
async def process(ca, nats, tmp_path):
    """Starts a Pilot process: `running = await process("pilot-1", "--workers", "2")`."""
    started = []
    block = claim()

    async def start(name="pilot-1", *arguments, **environment):
        address = block.address(len(started) + 1)
        identity = ca.issue("spiffe://cluster.local/ns/istio-system/sa/pilot", ips=[address])
        directory = write_identity(tmp_path / f"{name}-identity", identity)
        entry = token_entry(TOKEN, "tester", {"*": [Role.VIEWER]})
        (directory / "tokens.json").write_text(json.dumps({"tokens": [entry]}))
        running = PilotProcess(
            address,
            {
                "PILOT_INSTANCE": name,
                "PILOT_HOST": address,
                "PILOT_ADMIN_HOST": address,
                "PILOT_NATS_URL": nats.url,
                "PILOT_IDENTITY_DIR": str(directory),
                "PILOT_STATE_DIR": str(tmp_path / f"{name}-state"),
                "PILOT_HEARTBEAT_INTERVAL": "200ms",
                "PILOT_REGISTRATION_GRACE": "500ms",
                "PILOT_REGISTRATION_STABLE_AFTER": "1500ms",
                **environment,
            },
            *arguments,
        )
        started.append(running)
        await running.start()
        return running

    yield start
    for running in started:
        await running.end()
        await running.api.aclose()
    block.release()


async def test_two_workers_share_the_port_and_answer_as_one(galley, process, workload_credentials, reached):
    group = await galley.publish(GROUP)
    running = await process("pilot-1", "--workers", "2", PILOT_PUSH_THROTTLE="100")
    async with contextlib.AsyncExitStack() as stack:
        clients = [AdsClient(running.secure, node(f"p{number}", "shop"), workload_credentials()) for number in range(8)]
        for client in clients:
            await stack.enter_async_context(client)
        for client in clients:
            await client.until(lambda client=client: client.names(LISTENER_TYPE))
        held = {row["proxy"]: row["pilot"] for row in await running.get("/debug/syncz")}
        assert len(held) == 8
        assert set(held.values()) == {"pilot-1/w0", "pilot-1/w1"}

        in_force = await running.get("/api/v1/in-force")
        assert in_force["instances_missing"] == []
        assert [one["pilot"] for one in in_force["items"]] == ["pilot-1/w0", "pilot-1/w1"]
        assert sum(one["proxies"]["connected"] for one in in_force["items"]) == 8
        for one in in_force["items"]:
            (throttle,) = [bound for bound in one["bounds"] if bound["name"] == "push_throttle"]
            assert throttle["value"] == 50
            assert throttle["reason"] == "PILOT_PUSH_THROTTLE=100: a hard ceiling shared by 2 workers"
            assert (one["config"]["source"], one["config"]["revision"]) == ("bus", group)
        assert (await running.api.get("/api/v1/in-force", headers={"authorization": "Bearer x"})).status_code == 401

        revision = await galley.publish(SERVICE)
        receipt = await running.get(f"/api/v1/changes/{revision}/receipt", wait=10)
        assert receipt["complete"], receipt
        assert receipt["proxies"] == {"count": 8, "acked": 8}
        assert all(CLUSTER in client.names(CLUSTER_TYPE) for client in clients)

        async with asyncio.timeout(10):
            while 'pilot_xds{version="1.28"} 8' not in (await running.api.get("/metrics")).text:  # noqa: ASYNC110
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

        async def connected(name, resume=None):
            client = AdsClient(running.secure, node(name, "shop"), workload_credentials(), resume=resume)
            await stack.enter_async_context(client)
            return client

        async def holders():
            return {row["proxy"].partition(".")[0]: row["pilot"] for row in await running.get("/debug/syncz")}

        clients = {f"p{number}": await connected(f"p{number}") for number in range(8)}
        for client in clients.values():
            await client.until(lambda client=client: CLUSTER in client.names(CLUSTER_TYPE))
        before = await holders()
        assert set(before.values()) == {"pilot-1/w0", "pilot-1/w1"}

        os.kill(min(children), signal.SIGKILL)
        await reached(lambda: any(client.ended for client in clients.values()))
        dead = before[next(name for name, client in clients.items() if client.ended)]
        theirs = {name for name, holder in before.items() if holder == dead}
        await reached(lambda: all(clients[name].ended for name in theirs))
        for name in theirs:
            clients[name] = await connected(name, clients[name].held)
        await galley.publish(other_service("ratings"))
        for client in clients.values():
            await client.until(
                lambda client=client: CLUSTER.replace("reviews", "ratings") in client.names(CLUSTER_TYPE)
            )
        assert not any(client.ended for client in clients.values())
        assert {(await holders())[name] for name in theirs} == set(before.values()) - {dead}
        assert dead not in (await holders()).values()

        await running.wait_ready()
        assert len(set(running.children()) - children) == 1
        async with asyncio.timeout(20):
            # Which of the processes a new connection comes to is the kernel's choice.
            while dead not in (await holders()).values():
                await connected(f"new-{len(await holders())}")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_with_nats_and_galley_away_a_mesh_of_a_thousand_services_is_served_from_the_copy_on_disk(
    process, tmp_path, workload_credentials, workers
):
    copy = tmp_path / "pilot-1-state" / "config.copy"
    write_last_copy(copy, state_of(other_service(f"service-{number}") for number in range(1000)))
    running = await process("pilot-1", "--workers", workers, PILOT_NATS_URL=NOBODY)
    async with contextlib.AsyncExitStack() as stack:
        for number in range(8):
            client = AdsClient(running.secure, node(f"p{number}", "shop"), workload_credentials())
            await stack.enter_async_context(client)
            await client.until(lambda client=client: len(client.names(CLUSTER_TYPE)) >= 1000)
            assert {f"outbound|80||service-{n}.shop.svc.cluster.local" for n in range(1000)} <= client.names(
                CLUSTER_TYPE
            )
        assert len({row["pilot"] for row in await running.get("/debug/syncz")}) == int(workers)
    assert [path.name for path in copy.parent.iterdir()] == ["config.copy"]


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


async def figures(running):
    """The samples of the metrics page, by name with labels."""
    lines = (await running.api.get("/metrics")).text.splitlines()
    return {name: float(value) for name, _, value in (one.rpartition(" ") for one in lines if one[:1] != "#")}


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
            before = await figures(running)
            revision = await galley.publish(*documents)
            receipt = await running.get(f"/api/v1/changes/{revision}/receipt", wait=10)
            assert receipt["complete"], receipt
            assert receipt["proxies"]["acked"] == 3
            after = await figures(running)
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
            async with asyncio.timeout(20):
                while not (rows := await running.get("/debug/syncz")) or not held <= rows[0]["resources"].keys():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

        async def sent():
            found = await figures(running)
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
                f"/api/v1/changes/{await galley.publish(other_service('ratings'))}/receipt", wait=10
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
        async with asyncio.timeout(20):
            while await addresses() != everybody:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await running.end(signal.SIGKILL)
    await running.start()
    assert await addresses() == everybody
    async with agent(1), agent(2), agent(3) as last:
        await last.until(lambda: last.names(NAME_TABLE_TYPE))
        # Past stability and grace, judged by the sweeps that the heartbeats count.
        async with asyncio.timeout(40):
            first = (await running.get("/debug/engine"))["instances"]["pilot-1"]["sweeps"]
            while (await running.get("/debug/engine"))["instances"]["pilot-1"]["sweeps"] < first + 15:
                assert await addresses() == everybody
                await asyncio.sleep(0.1)
