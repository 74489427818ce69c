"""What 10,000 config objects cost: validated, analysed, applied, listed, published again, and the memory they take.

`make bench` runs it; docs/performance.md says how it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvloop
import yaml
from galley.core.admission import violations_of
from kept_connection import kept_connection
from meshcore.bus.connection import Bus, BusSettings
from meshcore.bus.feed import ConfigFeed
from meshcore.distribution.events import FullState
from meshcore.model.kinds import by_kind
from meshcore.model.load import load_yaml_documents
from meshcore.testing.addresses import claim
from meshcore.testing.galley import GalleyProcess, bearer, running
from meshcore.testing.nats import nats_server
from meshctl.core.analysis import Request, analyze_documents

CLIENTS = 16
PAGE = 500
MEBIBYTE = 1024 * 1024
RESULTS = Path(__file__).parent / "results"
TARGETS = {
    "validate_seconds": ("<", 5.0),
    "analyze_seconds": ("<", 5.0),
    "apply_per_second": (">=", 500.0),
    "republish_seconds": ("<", 5.0),
    "peak_rss_mib": ("<", 400.0),
}


def _service(name: str) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 9080}]}
    return {"apiVersion": "v1", "kind": "Service", "spec": spec}


def _virtual_service(name: str) -> dict[str, Any]:
    routes = [{"destination": {"host": name, "subset": subset}, "weight": 50} for subset in ("v1", "v2")]
    http = [
        {"match": [{"uri": {"prefix": "/api"}}], "route": routes, "timeout": "5s"},
        {"route": [{"destination": {"host": name}}]},
    ]
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "spec": {"hosts": [name], "http": http}}


def _destination_rule(name: str) -> dict[str, Any]:
    subsets = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
    policy = {"connectionPool": {"http": {"http2MaxRequests": 100}}}
    spec = {"host": name, "subsets": subsets, "trafficPolicy": policy}
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "spec": spec}


def _service_entry(name: str) -> dict[str, Any]:
    ports = [{"number": 443, "name": "tls", "protocol": "TLS"}]
    spec = {"hosts": [f"{name}.example.com"], "ports": ports, "resolution": "DNS", "location": "MESH_EXTERNAL"}
    return {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "spec": spec}


def _authorization_policy(name: str) -> dict[str, Any]:
    rule = {
        "from": [{"source": {"principals": ["cluster.local/ns/default/sa/client"]}}],
        "to": [{"operation": {"methods": ["GET"], "paths": ["/api/*"]}}],
    }
    spec = {"selector": {"matchLabels": {"app": name}}, "action": "ALLOW", "rules": [rule]}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "spec": spec}


MAKERS: tuple[Callable[[str], dict[str, Any]], ...] = (
    _service,
    _virtual_service,
    _destination_rule,
    _service_entry,
    _authorization_policy,
)


def documents(each: int) -> list[dict[str, Any]]:
    """So many of each of the five kinds."""
    made = []
    for maker in MAKERS:
        for number in range(each):
            name = f"app-{number}"
            made.append({**maker(name), "metadata": {"name": name, "namespace": "default"}})
    return made


def fsync_milliseconds(directory: Path, rounds: int = 200) -> float:
    """The median time of one 4 KiB append with fsync on the store's disk."""
    times = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(rounds):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def validate(text: str) -> None:
    """Read the YAML and check every document."""
    for document in load_yaml_documents(text, "bench.yaml"):
        errors, _ = violations_of(document.body, by_kind(document.body["apiVersion"], document.body["kind"]))
        assert not errors, errors


def analyze(text: str) -> None:
    """Every analyzer over all of it."""
    analyze_documents(load_yaml_documents(text, "bench.yaml"), None, Request(), time.time())


def _path(document: dict[str, Any]) -> str:
    info = by_kind(document["apiVersion"], document["kind"])
    root = f"/apis/{document['apiVersion']}" if info.group else f"/api/{document['apiVersion']}"
    return f"{root}/namespaces/default/{info.plural}"


async def apply(galley: GalleyProcess, made: list[dict[str, Any]]) -> tuple[float, float]:
    """Seconds for all creations by 16 clients, and the 99th percentile of one in milliseconds."""
    waiting = iter([(_path(document), json.dumps(document).encode()) for document in made])
    latencies: list[float] = []

    async def work() -> None:
        async with kept_connection(galley.url, galley.client_context(), bearer()) as connection:
            for path, body in waiting:
                began = time.perf_counter()
                answer = await connection.post(path, body)
                latencies.append(time.perf_counter() - began)
                assert answer.status == HTTPStatus.CREATED, answer.body

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(CLIENTS)))
    return time.perf_counter() - began, statistics.quantiles(latencies, n=100)[98] * 1000


async def list_pages(galley: GalleyProcess, made: list[dict[str, Any]]) -> tuple[float, int]:
    """Seconds to list everything page by page, and how many objects that were."""
    count = 0
    began = time.perf_counter()
    async with galley.client(timeout=60) as client:
        for path in dict.fromkeys(map(_path, made)):
            more: str | None = ""
            while more is not None:
                page = (await client.get(path, params={"limit": PAGE, "continue": more})).json()
                count += len(page["items"])
                more = page["metadata"].get("continue") or None
    return time.perf_counter() - began, count


async def consumed(url: str, count: int) -> None:
    """Until a new consumer has everything."""
    async with Bus(BusSettings(url, name="bench")) as bus:
        entries = 0
        async for event in ConfigFeed(bus).events():
            entries = len(event.entries) if isinstance(event, FullState) else entries + len(event.changes)
            if entries >= count:
                return


async def measure(each: int) -> dict[str, float]:
    made = documents(each)
    text = yaml.dump_all(made, Dumper=yaml.CSafeDumper)
    found: dict[str, float] = {"objects": len(made), "clients": CLIENTS}
    for name, do in (("validate", validate), ("analyze", analyze)):
        began, cpu_began = time.perf_counter(), time.process_time()
        do(text)
        found[f"{name}_seconds"] = time.perf_counter() - began
        found[f"{name}_cpu_seconds"] = time.process_time() - cpu_began
    with tempfile.TemporaryDirectory(prefix="bench-") as name, claim() as block:
        directory = Path(name)
        found["fsync_milliseconds"] = fsync_milliseconds(directory)
        with nats_server(directory / "nats") as nats:
            started = await asyncio.to_thread(GalleyProcess, directory, block.address(), nats_url=nats.url)
            with running(started) as galley:
                before, own_before = galley.cpu_seconds(), time.process_time()
                seconds, slowest = await apply(galley, made)
                found["apply_per_second"], found["apply_p99_milliseconds"] = len(made) / seconds, slowest
                found["apply_galley_cpu_seconds"] = galley.cpu_seconds() - before
                found["apply_client_cpu_seconds"] = time.process_time() - own_before
                found["list_seconds"], count = await list_pages(galley, made)
                assert count == len(made), count
                nats.kill()
                nats.delete_store()
                nats.start()
                began = time.perf_counter()
                async with asyncio.timeout(120):
                    await consumed(nats.url, len(made))
                found["republish_seconds"] = time.perf_counter() - began
                found["peak_rss_mib"] = galley.peak_resident_bytes() / MEBIBYTE
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=2000, help="objects of each of the five kinds")
    with asyncio.Runner(loop_factory=uvloop.Loop) as runner:
        found = runner.run(measure(parser.parse_args().each))
    machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()}
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"config-{now:%Y%m%dT%H%M%SZ}.json"
    rounded = {name: round(value, 3) for name, value in found.items()}
    path.write_text(json.dumps({"time": now.isoformat(), "machine": machine, "measured": rounded}, indent=2) + "\n")
    missed = 0
    for name, value in rounded.items():
        sign, target = TARGETS.get(name, ("", 0.0))
        good = not sign or (value < target if sign == "<" else value >= target)
        missed += not good
        print(f"{name:24} {value:12.3f}  {f'{sign} {target:g}' if sign else '':10} {'' if good else 'MISSED'}")
    print(path)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
