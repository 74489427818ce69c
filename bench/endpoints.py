"""Processor time of one changed EndpointSlice in a Pilot with many services and classes of proxies: from the change to
what every class is to have. With the fast path of endpoints, and with whole compiles (from the memo) as without it.

    .venv/bin/python bench/endpoints.py [--services 1000] [--classes 50] [--rounds 20]
"""

import argparse
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import Any

from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.xds import delta
from pilot.core.compiler import CompileCache, Refreshing, compile_resources
from pilot.core.compiling import Refresh, never
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affects
from pilot.core.proxy import parse_node

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("services", 1000), ("classes", 50), ("rounds", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    memos = CompileCache()
    ways: list[tuple[str, Refresh]] = [("whole compiles", never), ("endpoints alone", Refreshing(memos))]
    for name, refresh in ways:
        engine = _engine(memos, refresh, wanted.services, wanted.classes)
        spent = sorted(_spent(engine, number) for number in range(2, wanted.rounds + 2))
        figures = f"median {median(spent):8.2f} ms, most {spent[-1]:8.2f} ms"
        print(f"{name:16} {figures} ({engine.compiles} compiles, {engine.refreshes} refreshes)")


def _engine(memos: CompileCache, refresh: Refresh, services: int, classes: int) -> Engine:
    engine = Engine(partial(compile_resources, cache=memos), affects, Debounce(0.1, 10), refresh=refresh)
    engine.take_state(FullState("s", 0, "", {}), 0.0)
    for number in range(classes):
        space = f"n{number}"
        node = {"id": f"sidecar~10.9.0.1~a.{space}~{space}.svc.cluster.local", "metadata": {"NAMESPACE": space}}
        engine.connect(parse_node(node), delta, "127.0.0.1", 0.0)
    objects = [made for number in range(services) for made in (_service(number), _slice(number, 1))]
    _take(engine, 1, objects)
    return engine


def _spent(engine: Engine, revision: int) -> float:
    began = time.process_time()
    _take(engine, revision, [_slice(revision % 7, revision)])
    return (time.process_time() - began) * 1000


def _take(engine: Engine, revision: int, objects: Iterable[tuple[Key, dict[str, Any]]]) -> None:
    changes = tuple(Change(key, make_record(kv_key(*key), "s", revision, body, "", NOW), None) for key, body in objects)
    engine.take_changes(ChangeSet("s", revision, revision - 1, "", NOW, changes), 1.0)
    engine.release_pushes()
    for stream in engine.streams.values():
        engine.take_push(stream)


def _service(number: int) -> tuple[Key, dict[str, Any]]:
    space, name = f"n{number % 50}", f"s{number}"
    return Key("", "services", space, name), {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": space},
        "spec": {"clusterIP": f"10.0.{number // 250}.{number % 250 + 1}", "ports": [{"name": "http", "port": 80}]},
    }


def _slice(number: int, variant: int) -> tuple[Key, dict[str, Any]]:
    space, name = f"n{number % 50}", f"s{number}"
    return Key("discovery.k8s.io", "endpointslices", space, name), {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": space, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [f"10.{variant % 200 + 1}.{item}.{number % 250 + 1}"]} for item in range(3)],
    }


if __name__ == "__main__":
    main()
