"""Processor time and memory of Pilot's way from a change to a stream and back: `python -m bench.push_path`.

The hub, the sessions and the ADS port are real, and so are the sockets; the compiler is a stand-in that costs nothing,
and nothing else of Pilot runs. The clients (bench/light_clients.py) are a process of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from meshcore.authentication.call_proofs import CallProofs
from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.runtime import logs, tasks
from meshcore.testing.identity import make_ca
from meshcore.tls import LiveIdentity
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE
from pilot.adapters.hub import Hub
from pilot.adapters.servers import AdsServers
from pilot.core.admission import Admission
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.proxy import ProxyClass
from pilot.core.snapshot import MeshSnapshot
from pilot.settings import PilotSettings

from bench.scale.certificates import write_certificates_of
from bench.scale.proxies import proxies_of

CLUSTERS = 20
CLASSES = 20
TRANSPORTS = ("plaintext", "mTLS")
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "probe", "namespace": "bench"},
    "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": "probe"}},
}


class Config:
    """What the stand-in compiles: `change` gives one cluster other endpoints, of about `size` bytes."""

    def __init__(self, size: int) -> None:
        self._endpoints = size // 20
        self._turn = 0
        names = [f"c{number}" for number in range(CLUSTERS)]
        self._fixed = [
            *(
                PackedResource.pack(CLUSTER_TYPE, name, cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS))
                for name in names
            ),
            PackedResource.pack(LISTENER_TYPE, "l", listener_pb2.Listener(name="l")),
            *(self._assignment(name, 1) for name in names[1:]),
        ]
        self._given: dict[ProxyClass, tuple[int, ResourceSet]] = {}
        self.change()

    def compile(self, _: MeshSnapshot, proxy_class: ProxyClass) -> ResourceSet:
        """What a class is to have now."""
        turn, given = self._given.get(proxy_class, (-1, None))
        if given is None or turn != self._turn:
            given = ResourceSet.of([*self._fixed, self._changing])
            self._given[proxy_class] = self._turn, given
        return given

    def change(self) -> None:
        """Let it be something else."""
        self._turn += 1
        self._changing = self._assignment("c0", self._endpoints)

    def _assignment(self, name: str, count: int) -> PackedResource:
        made = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
        for _ in range(count):
            address = made.endpoints.add().lb_endpoints.add().endpoint.address.socket_address
            address.address, address.port_value = "10.0.0.1", self._turn % 60_000 + 1
        return PackedResource.pack(ENDPOINT_TYPE, name, made)


def changed(revision: int) -> ChangeSet:
    """A revision of one Service."""
    key, now = Key("", "services", "bench", "probe"), datetime.now(UTC)
    record = make_record(kv_key(*key), "s", revision, SERVICE, "", now)
    return ChangeSet("s", revision, revision - 1, "", now, (Change(key, record, None),))


def resident_kibibytes() -> float:
    """Of this process, now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


async def measure(options: argparse.Namespace, size: int, *, secure: bool) -> dict[str, float]:
    """One size, one port."""
    config = Config(size)
    hub = Hub(Engine(config.compile, lambda *_: True, Debounce(0.005, 10)), Admission())
    ca = make_ca()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tasks.background(hub.run(), name="hub"))
        hub.take_state(FullState("s", 1, "", {}))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_certificates_of(ca, CLASSES, folder)
        identity = LiveIdentity(ca.issue("spiffe://cluster.local/ns/istio-system/sa/pilot"))
        settings = PilotSettings(grpc_port=0, plaintext_port=0, host="127.0.0.1", trust_domain="cluster.local")
        servers = AdsServers(hub, None, settings, identity, CallProofs("cluster.local"))
        await servers.start()
        stack.push_async_callback(servers.stop)
        target = f"127.0.0.1:{servers.secure_port if secure else servers.plaintext_port}"
        clients = stack.enter_context(proxies_of(target, CLASSES, folder if secure else None))
        before, began, cpu = resident_kibibytes(), time.monotonic(), time.process_time()
        await asyncio.to_thread(clients.ask, "proxies", options.clients)
        await settled(hub, options.clients)
        figures = {
            "connect_seconds": time.monotonic() - began,
            "connect_cpu_microseconds": (time.process_time() - cpu) / options.clients * 1e6,
            "kibibytes_per_stream": (resident_kibibytes() - before) / options.clients,
        }
        began, cpu = time.monotonic(), time.process_time()
        for turn in range(options.turns):
            await asyncio.to_thread(clients.ask, "mark")
            config.change()
            hub.take_changes(changed(turn + 2))
            await asyncio.to_thread(clients.ask, "reached", options.clients, 60)
            await settled(hub, options.clients)
        pushes = options.clients * options.turns
        figures["push_microseconds"] = (time.process_time() - cpu) / pushes * 1e6
        figures["pushes_per_second"] = pushes / (time.monotonic() - began)
        return figures


async def settled(hub: Hub, clients: int) -> None:
    """Until so many streams have acknowledged everything."""
    engine = hub.engine
    # A look costs nearly nothing; to be woken by each stream would not.
    while len(engine.streams) < clients or any(  # noqa: ASYNC110
        not stream.complete or stream.settled_generation < engine.generation for stream in engine.streams.values()
    ):
        await asyncio.sleep(0.01)


def main() -> None:
    """Sizes and ports in turn; memory that one leaves serves the next, so that it counts of the first alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 50_000])
    parser.add_argument("--transports", nargs="*", choices=TRANSPORTS, default=TRANSPORTS)
    options = parser.parse_args()
    logs.configure("bench", "WARNING", "json")
    for size in options.sizes:
        for transport in options.transports:
            figures = uvloop.run(measure(options, size, secure=transport == "mTLS"))
            shown = "  ".join(f"{name} {value:.1f}" for name, value in figures.items())
            print(f"{size:>8} bytes, {transport}: {shown}")


if __name__ == "__main__":
    main()
