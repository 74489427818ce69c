"""Many proxies that connect at once, and what those who are there already notice: `python -m bench.storm`.

Engine, compiler, sessions, admission and ADS port are Pilot's, and so are the sockets; nothing else of Pilot runs. The
proxies are two processes (`bench.scale.client`): some have everything, the others come. Meanwhile one endpoint changes
again and again, each time when everybody of the first has had the last one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from meshcore.authentication.call_proofs import CallProofs
from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.model.kinds import by_kind
from meshcore.runtime import logs, tasks
from meshcore.runtime.service import YOUNG_OBJECTS
from meshcore.testing.identity import make_ca
from meshcore.tls import LiveIdentity
from pilot.adapters.hub import Hub
from pilot.adapters.servers import AdsServers
from pilot.core.admission import Admission
from pilot.core.compiler import CompileCache, Refreshing, compile_resources
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affects
from pilot.settings import PilotSettings

from bench.scale.certificates import write_certificates_of
from bench.scale.fed_objects import documents, endpoint_changed
from bench.scale.proxies import Proxies, proxies_of

WAIT = 600
TRANSPORTS = ("plaintext", "mTLS")
_NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Watched:
    """What those who are there notice while others come: the seconds from a change until the last of them had it."""

    seconds: list[float] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    """The processor time of the serving process meanwhile, which others on the machine do not make longer."""
    over: threading.Event = field(default_factory=threading.Event)

    def follow(self, loop: asyncio.AbstractEventLoop, hub: Hub, settled: Proxies, proxies: int, pause: float) -> None:
        """Change and wait, until it is over; in a thread of its own, as what comes over a network does not begin in a
        turn of the loop."""
        for revision in count(2):
            settled.ask("mark")
            began, cpu = time.monotonic(), time.process_time()
            loop.call_soon_threadsafe(hub.take_changes, changed(revision, [endpoint_changed(revision)]))
            settled.ask("reached", proxies, WAIT)
            self.spent.append(time.process_time() - cpu)
            self.seconds.append(max(settled.ask("arrivals")["last"]) - began)
            if self.over.wait(pause):
                return


def changed(revision: int, objects: Iterable[dict[str, Any]]) -> ChangeSet:
    """A revision of these objects."""
    changes = []
    for one in objects:
        kind, metadata = by_kind(one["apiVersion"], one["kind"]), one["metadata"]
        key = Key(kind.group, kind.plural, metadata.get("namespace", ""), metadata["name"])
        record = make_record(kv_key(*key), "s", revision, one, "", _NOW)
        changes.append(Change(key, record, None))
    return ChangeSet("s", revision, revision - 1, "", _NOW, tuple(changes))


def world(services: int, classes: int, *, one_port: bool) -> list[dict[str, Any]]:
    """The mesh; on one port each proxy has one route configuration of all services."""
    made = list(documents(services, classes))
    if one_port:
        for one in made:
            if one["kind"] == "ServiceEntry":
                one["spec"]["ports"] = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    return made


async def measure(options: argparse.Namespace, *, secure: bool) -> dict[str, float]:
    """One storm."""
    memos = CompileCache()
    compile_class = partial(compile_resources, cache=memos)
    engine = Engine(compile_class, affects, Debounce(0.1, 10), Debounce(0, 0), refresh=Refreshing(memos))
    admission = Admission(options.at_once)
    hub = Hub(engine, admission)
    ca, loop = make_ca(), asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tasks.background(hub.run(), name="hub"))
        hub.take_state(FullState("s", 0, "", {}))
        hub.take_changes(changed(1, world(options.services, options.classes, one_port=options.one_port)))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_certificates_of(ca, options.classes, folder)
        identity = LiveIdentity(ca.issue("spiffe://cluster.local/ns/istio-system/sa/pilot"))
        settings = PilotSettings(grpc_port=0, plaintext_port=0, host="127.0.0.1", trust_domain="cluster.local")
        servers = AdsServers(hub, None, settings, identity, CallProofs("cluster.local"))
        await servers.start()
        stack.push_async_callback(servers.stop)
        target = f"127.0.0.1:{servers.secure_port if secure else servers.plaintext_port}"
        certificates = folder if secure else None
        settled = stack.enter_context(proxies_of(target, options.classes, certificates))
        coming = stack.enter_context(proxies_of(target, options.classes, certificates, "--late", str(options.late)))
        await asyncio.to_thread(settled.ask, "proxies", options.settled)
        await asyncio.to_thread(settled.complete, options.settled, WAIT)
        watched = Watched()
        following = loop.run_in_executor(None, watched.follow, loop, hub, settled, options.settled, options.pause)
        await asyncio.sleep(1)
        quiet, watched.seconds, watched.spent = watched.seconds or [0], [], []
        if options.back:
            await asyncio.to_thread(coming.ask, "proxies", options.proxies)
            await asyncio.to_thread(coming.complete, options.proxies, WAIT)
            watched.seconds, watched.spent = [], []
        before = await asyncio.to_thread(coming.ask, "usage")
        last, cpu, began = max(engine.streams), time.process_time(), time.monotonic()
        await asyncio.to_thread(coming.ask, *(("broken",) if options.back else ("proxies",)), options.proxies)
        await come(hub, options.proxies, last)
        took, cpu = time.monotonic() - began, time.process_time() - cpu
        noticed, spent, ends = list(watched.seconds), list(watched.spent), await asyncio.to_thread(coming.ends)
        after = await asyncio.to_thread(coming.ask, "usage")
        watched.over.set()
        await following
        return {
            "seconds": took,
            "milliseconds_per_proxy": cpu / options.proxies * 1000,
            "client_milliseconds_per_proxy": (after["cpu_seconds"] - before["cpu_seconds"]) / options.proxies * 1000,
            "ended": float(sum(ends.values())),
            "change_before_p50_milliseconds": median(quiet) * 1000,
            "change_p50_milliseconds": median(noticed or quiet) * 1000,
            "change_max_milliseconds": max(noticed or quiet) * 1000,
            "change_cpu_p50_milliseconds": median(spent or [0]) * 1000,
            "change_cpu_mean_milliseconds": sum(spent) / max(1, len(spent)) * 1000,
            "change_cpu_max_milliseconds": max(spent or [0]) * 1000,
            "changes": float(len(noticed)),
        }


async def come(hub: Hub, proxies: int, after: int) -> None:
    """Until so many streams that began after the one of that number have their first config."""
    while sum(number > after and stream.complete for number, stream in hub.engine.streams.items()) < proxies:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def main() -> None:
    """One transport after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("proxies", 600), ("settled", 100), ("services", 1000), ("classes", 50), ("at-once", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--one-port", action="store_true", help="all services on one: large configs")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two changes of an endpoint")
    parser.add_argument("--late", type=float, default=0, help="seconds that who comes takes to answer")
    parser.add_argument("--back", action="store_true", help="who comes has been there before")
    parser.add_argument("--transports", nargs="*", choices=TRANSPORTS, default=TRANSPORTS)
    options = parser.parse_args()
    logs.configure("bench", "WARNING", "json")
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    for transport in options.transports:
        figures = uvloop.run(measure(options, secure=transport == "mTLS"))
        print(transport, *(f"{name} {value:.1f}" for name, value in figures.items()), sep="  ")


if __name__ == "__main__":
    main()
