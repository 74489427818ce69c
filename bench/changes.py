"""Processor time of one change in a Pilot with many services and classes of proxies, from the change set to what every
class is to have, and the memory of the process. No network, no other process; one stream for each class.

    .venv/bin/python bench/changes.py [--services 1000] [--classes 50] [--rounds 9] [--only virtual_service]
"""

import argparse
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.xds import delta
from meshctl.core.mesh_objects import mesh_config_map
from pilot.core.compiler import CompileCache, Refreshing, compile_resources
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affects
from pilot.core.node import parse_node

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PORTS = (80, 8080, 9080, 9090)
NETWORKING, SECURITY = "networking.istio.io", "security.istio.io"
Made = tuple[Key, dict[str, Any]]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("services", 1000), ("classes", 50), ("rounds", 9)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", default="", choices=["", *CHANGES, "endpoint_first"])
    parser.add_argument("--filter", action="store_true", help="with an EnvoyFilter that patches every cluster")
    parser.add_argument("--uncaptured", type=int, default=0, help="so many classes more of one machine without capture")
    wanted = parser.parse_args()
    memos = CompileCache()
    compile_class = partial(compile_resources, cache=memos)
    engine = Engine(compile_class, affects, Debounce(0.1, 10), refresh=Refreshing(memos))
    engine.take_state(FullState("s", 0, "", {}), 0.0)
    proxied = [mesh_config_map("cluster.local")] if wanted.uncaptured else []
    first = [(Key("", "configmaps", "istio-system", "istio"), body) for body in proxied]
    world = [*first, *_world(wanted.services), *([_filter()] if wanted.filter else [])]
    _show("snapshot", [_spent(partial(_apply, engine, 1, world))])
    for number in range(wanted.classes):
        _connect(engine, number)
    for number in range(wanted.uncaptured):
        _connect(engine, number, captured=False)
    streams = list(engine.streams.values())
    _show("first class", [_spent(partial(engine.target, streams[0]))])
    _show("each other class", [_spent(partial(engine.target, stream)) for stream in streams[1:]])
    _push(engine)
    revision = 1
    for name, change in CHANGES.items():
        if wanted.only in ("", name):
            spent = []
            for turn in range(wanted.rounds):
                revision += 1
                before = engine.configs.compiles
                spent.append(_spent(partial(_change, engine, revision, change(turn))))
            _show(name, spent, f"{engine.configs.compiles - before} whole compiles")
    if wanted.only in ("", "endpoint_first"):
        turns = [(revision + 2 * turn + 2, turn) for turn in range(wanted.rounds)]
        _show("endpoint_first", [_endpoint_first(engine, at, turn) for at, turn in turns])


def _endpoint_first(engine: Engine, revision: int, turn: int) -> float:
    """Until every class has the endpoints of a change that comes when the config of the one before it waits for its
    compile."""
    _apply(engine, revision - 1, CHANGES["virtual_service"](turn + 100))
    engine.release_pushes()

    def endpoints() -> None:
        _apply(engine, revision, CHANGES["endpoint"](turn + 100))
        engine.release_endpoints()
        for stream in engine.streams.values():
            engine.take_push(stream)

    spent = _spent(endpoints)
    _push(engine)
    return spent


def _show(name: str, spent: list[float], more: str = "") -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    held = pages * os.sysconf("SC_PAGE_SIZE") >> 20
    print(f"{name:20} median {median(spent):9.2f} ms, most {max(spent):9.2f} ms, {held:5} MiB  {more}")


def _spent(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def _connect(engine: Engine, number: int, *, captured: bool = True) -> None:
    """`captured`: else it is as those of `meshctl up`, on addresses of its own."""
    space, address = f"n{number}", f"10.9.0.{number}" if captured else f"127.2.0.{number + 1}"
    metadata: dict[str, Any] = {"NAMESPACE": space, "LABELS": {"app": f"app-{number}"}}
    if not captured:
        own = {"INSTANCE_IPS": address, "MESHCORE_APP_ADDRESS": f"127.2.1.{number + 1}"}
        metadata |= {"INTERCEPTION_MODE": "NONE", **own}
    node = {"id": f"sidecar~{address}~a.{space}~{space}.svc.cluster.local", "metadata": metadata}
    engine.connect(parse_node(node), delta, "127.0.0.1", 0.0)


def _change(engine: Engine, revision: int, objects: Iterable[Made]) -> None:
    _apply(engine, revision, objects)
    _push(engine)


def _apply(engine: Engine, revision: int, objects: Iterable[Made]) -> None:
    changes = tuple(Change(key, make_record(kv_key(*key), "s", revision, body, "", NOW), None) for key, body in objects)
    engine.take_changes(ChangeSet("s", revision, revision - 1, "", NOW, changes), 1.0)


def _push(engine: Engine) -> None:
    engine.release_pushes()
    engine.release_endpoints()
    for stream in engine.streams.values():
        engine.take_push(stream)


def _world(services: int) -> Iterator[Made]:
    """Nine in ten are ServiceEntries, four in ten have a VirtualService, three a DestinationRule, two a policy."""
    draw = random.Random(1)
    for number in range(services):
        space, name, host, port = f"n{number % 50}", f"s{number}", _host(number), PORTS[number % len(PORTS)]
        if number % 10:
            ends = [{"address": f"10.{number >> 8}.{number & 255}.{end}"} for end in (1, 2, 3)]
            ports = [{"number": port, "name": "http", "protocol": "HTTP"}]
            spec = {"hosts": [host], "ports": ports, "location": "MESH_INTERNAL", "resolution": "STATIC"}
            yield _object(NETWORKING, "v1", "ServiceEntry", "serviceentries", space, name, spec | {"endpoints": ends})
        else:
            spec = {"clusterIP": f"10.100.{number >> 8}.{number & 255}", "ports": [{"name": "http", "port": port}]}
            yield _object("", "v1", "Service", "services", space, name, spec)
            yield _slice(number, 1)
        if draw.random() < 0.4:
            yield _routes(number, 1)
        if draw.random() < 0.3:
            yield _rule(number, 5)
        if draw.random() < 0.2:
            rules = [{"to": [{"operation": {"methods": ["GET"], "paths": ["/api/*"]}}]}]
            spec = {"selector": {"matchLabels": {"app": name}}, "rules": rules}
            yield _object(SECURITY, "v1", "AuthorizationPolicy", "authorizationpolicies", space, name, spec)
    yield _routes(7, 1)


def _host(number: int) -> str:
    return f"s{number}.example.com" if number % 10 else f"s{number}.n{number % 50}.svc.cluster.local"


def _object(group: str, version: str, kind: str, plural: str, space: str, name: str, spec: dict[str, Any]) -> Made:
    stands = f"{group}/{version}" if group else version
    metadata = {"name": name, "namespace": space}
    return Key(group, plural, space, name), {"apiVersion": stands, "kind": kind, "metadata": metadata, "spec": spec}


def _slice(number: int, variant: int) -> Made:
    key, made = _object(
        "discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", f"n{number % 50}", f"s{number}", {}
    )
    made["metadata"]["labels"] = {"kubernetes.io/service-name": f"s{number}"}
    ends = [{"addresses": [f"10.{variant % 200 + 1}.{item}.{number % 250 + 1}"]} for item in range(3)]
    return key, made | {"addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": ends}


def _routes(number: int, seconds: int) -> Made:
    host = _host(number)
    spec = {"hosts": [host], "http": [{"timeout": f"{seconds}s", "route": [{"destination": {"host": host}}]}]}
    return _object(NETWORKING, "v1", "VirtualService", "virtualservices", f"n{number % 50}", f"s{number}", spec)


def _rule(number: int, errors: int) -> Made:
    spec = {"host": _host(number), "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": errors}}}
    return _object(NETWORKING, "v1", "DestinationRule", "destinationrules", f"n{number % 50}", f"s{number}", spec)


def _added(turn: int) -> Made:
    spec = {"clusterIP": f"10.200.0.{turn % 250}", "ports": [{"name": "http", "port": 80}]}
    return _object("", "v1", "Service", "services", "n0", f"more-{turn}", spec)


def _policy(turn: int) -> Made:
    spec = {"rules": [{"to": [{"operation": {"notPaths": [f"/never-{turn}"]}}]}]}
    return _object(SECURITY, "v1", "AuthorizationPolicy", "authorizationpolicies", "istio-system", "all", spec)


def _filter() -> Made:
    value = {"operation": "MERGE", "value": {"connect_timeout": "3s"}}
    patch = {"applyTo": "CLUSTER", "match": {"context": "SIDECAR_OUTBOUND"}, "patch": value}
    spec = {"configPatches": [patch]}
    return _object(NETWORKING, "v1alpha3", "EnvoyFilter", "envoyfilters", "istio-system", "all", spec)


CHANGES: dict[str, Callable[[int], list[Made]]] = {
    "endpoint": lambda turn: [_slice(turn % 7 * 10, turn + 2)],
    "virtual_service": lambda turn: [_routes(7, turn + 2)],
    "destination_rule": lambda turn: [_rule(7, turn + 6)],
    "service_added": lambda turn: [_added(turn)],
    "mesh_policy": lambda turn: [_policy(turn)],
}
"""By name: what changes in a turn."""

if __name__ == "__main__":
    main()
