"""What Pilot's engine costs with many services and many proxies: `make bench-scale`; docs/performance.md says how.

Starts NATS, Galley, Citadel and Pilot with `meshctl up`, feeds services in realistic proportions, connects simulated
proxies (bench/simulated_proxies.py, a process of its own), changes one thing at a time and asks the proxies when it
came.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from meshcore.errors import MeshError
from meshctl.adapters.config_api import ConfigApi
from meshctl.adapters.demo_stack import wait_for_receipt
from meshctl.adapters.loopback import lock_free_stack
from meshctl.adapters.pilot_api import PilotApi
from meshctl.adapters.stack_client import stack_status
from meshctl.core.layout import Layout
from meshctl.core.topology import Stack

RESULTS = Path(__file__).parent / "results"
BATCH = 400
MEBIBYTE = 1024 * 1024


def documents(services: int, classes: int, seed: int = 1) -> Iterator[dict[str, Any]]:
    """So many services over the namespaces of the classes: each a ServiceEntry with three endpoints, four in ten with a
    VirtualService, three in ten with a DestinationRule, two in ten with an AuthorizationPolicy."""
    draw = random.Random(seed)
    for kind in range(classes):
        yield _object("v1", "Namespace", "", f"bench-{kind}", {})
    networking, security = "networking.istio.io/v1", "security.istio.io/v1"
    for number in range(services):
        name, namespace, host = f"svc-{number}", f"bench-{number % classes}", f"svc-{number}.bench.example"
        addresses = [f"10.{number >> 8 & 127}.{number & 255}.{end}" for end in (1, 2, 3)]
        entry = {
            "hosts": [host],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "location": "MESH_INTERNAL",
            "resolution": "STATIC",
            "endpoints": [{"address": one, "labels": {"version": "v1"}} for one in addresses],
        }
        yield _object(networking, "ServiceEntry", namespace, name, {"spec": entry})
        if draw.random() < 0.4:
            yield _object(networking, "VirtualService", namespace, name, {"spec": _routes(host, 1)})
        if draw.random() < 0.3:
            rule = {"host": host, "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 5}}}
            yield _object(networking, "DestinationRule", namespace, name, {"spec": rule})
        if draw.random() < 0.2:
            rules = [{"to": [{"operation": {"methods": ["GET"], "paths": ["/api/*"]}}]}]
            policy = {"selector": {"matchLabels": {"app": name}}, "rules": rules}
            yield _object(security, "AuthorizationPolicy", namespace, name, {"spec": policy})
    yield _object("v1", "Service", "bench-0", "probe", {"spec": {"ports": [{"name": "http", "port": 9080}]}})
    yield _slice(1)


def _object(version: str, kind: str, namespace: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def _routes(host: str, seconds: int) -> dict[str, Any]:
    return {"hosts": [host], "http": [{"timeout": f"{seconds}s", "route": [{"destination": {"host": host}}]}]}


def _slice(end: int) -> dict[str, Any]:
    made = _object("discovery.k8s.io/v1", "EndpointSlice", "bench-0", "probe", {})
    made["metadata"]["labels"] = {"kubernetes.io/service-name": "probe"}
    endpoints = [{"addresses": [f"10.150.0.{end % 250 + 1}"], "conditions": {"ready": True}}]
    return made | {"addressType": "IPv4", "ports": [{"name": "http", "port": 9080}], "endpoints": endpoints}


def endpoint_changed(turn: int) -> dict[str, Any]:
    """One endpoint of one service."""
    return _slice(turn + 2)


def route_changed(turn: int) -> dict[str, Any]:
    """One VirtualService."""
    host = "probe.bench-0.svc.cluster.local"
    return _object("networking.istio.io/v1", "VirtualService", "bench-0", "edited", {"spec": _routes(host, turn + 2)})


def service_added(turn: int) -> dict[str, Any]:
    """One service more."""
    return _object("v1", "Service", "bench-0", f"more-{turn}", {"spec": {"ports": [{"name": "http", "port": 9080}]}})


def policy_changed(turn: int) -> dict[str, Any]:
    """One policy for the whole mesh."""
    rules = [{"to": [{"operation": {"notPaths": [f"/never-{turn}"]}}]}]
    return _object("security.istio.io/v1", "AuthorizationPolicy", "istio-system", "all", {"spec": {"rules": rules}})


CHANGES = {
    "endpoint": endpoint_changed,
    "virtual_service": route_changed,
    "service_added": service_added,
    "mesh_policy": policy_changed,
}


class Mesh:
    """`meshctl up` on a stack of its own, and the processor time and memory of its Pilot."""

    def __init__(self) -> None:
        self._lock = lock_free_stack(first=2)
        self.stack = Stack(self._lock.number)
        self._home = tempfile.mkdtemp(prefix="mesh-bench-")
        self._layout = Layout(f"{self._home}/meshcore/stack-{self.stack.number}")
        state = {"XDG_STATE_HOME": self._home, "MESHCORE_STACK": str(self.stack.number)}
        self._environment = os.environ | state | self._lock.environment

    def _meshctl(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "meshctl", *arguments]
        subprocess.run(command, env=self._environment, pass_fds=self._lock.descriptors, check=True, stdout=sys.stderr)

    def __enter__(self) -> Mesh:
        self._meshctl("up", "--timeout", "120")
        self.token = Path(self._layout.admin_token).read_text().strip()
        self.root = Path(self._layout.root_certificate).read_text()
        self.config = ConfigApi(f"https://{self.stack.galley}:8081", self.root, self.token, timeout=60)
        self._pilot_api = PilotApi(f"http://{self.stack.pilot()}:15014", self.token)
        headers = {"authorization": f"Bearer {self.token}"}
        self._changes = httpx.Client(
            base_url=f"http://{self.stack.galley}:15014", headers=headers, trust_env=False, timeout=120
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.config.close()
        self._pilot_api.__exit__(None, None, None)
        self._changes.close()
        self._meshctl("down")
        self._lock.release()
        shutil.rmtree(self._home, ignore_errors=True)

    def feed(self, made: Sequence[dict[str, Any]]) -> None:
        """Write many objects."""
        for start in range(0, len(made), BATCH):
            changes = [{"operation": "apply", "object": one} for one in made[start : start + BATCH]]
            answer = self._changes.post("/api/v1/changesets", json={"changes": changes})
            assert answer.is_success, answer.text[:2000]

    def wait_for(self, revision: int) -> None:
        """Until everybody has ACKed a revision."""
        receipt = wait_for_receipt(self._pilot_api, revision)
        assert receipt.complete, receipt

    @property
    def _pilot(self) -> int:
        return next(int(one["pid"]) for one in stack_status(self._layout)["services"] if one["name"] == "pilot")

    def cpu_seconds(self) -> float:
        """Of Pilot, all threads, for themselves and in the kernel."""
        fields = Path(f"/proc/{self._pilot}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mebibytes(self) -> float:
        """Of Pilot, now."""
        pages = int(Path(f"/proc/{self._pilot}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE

    def settled_streams(self) -> int:
        """How many proxies have ACKed all that they asked Pilot for; none while it does not answer."""
        try:
            rows = self._pilot_api.sync_status()
        except MeshError:
            return 0
        waiting = [any(kind.get("pending") for kind in row.get("resources", {}).values()) for row in rows]
        return waiting.count(False)

    def kill_pilot(self) -> None:
        """At once; the supervisor starts it again."""
        os.kill(self._pilot, signal.SIGKILL)


class Proxies:
    """The process with the simulated proxies."""

    def __init__(self, target: str, proxies: int, classes: int) -> None:
        command = [sys.executable, str(Path(__file__).with_name("simulated_proxies.py")), "--target", target]
        command += ["--proxies", str(proxies), "--classes", str(classes)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command: str) -> Any:
        """The answer to one command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)


@contextmanager
def connected(mesh: Mesh, proxies: int, classes: int) -> Iterator[tuple[Proxies, dict[str, float]]]:
    """Proxies that all have everything, and what that took."""
    before, began = mesh.cpu_seconds(), time.monotonic()
    clients = Proxies(f"{mesh.stack.pilot()}:15010", proxies, classes)
    try:
        found = clients.ask("complete 300")
        assert found["complete"] == proxies, f"{found['complete']} of {proxies} proxies have everything"
        took = {"connect_seconds": found["at"] - began, "connect_cpu_seconds": mesh.cpu_seconds() - before}
        yield clients, took
    finally:
        clients.close()


def measure_changes(mesh: Mesh, clients: Proxies, turns: int, proxies: int) -> dict[str, float]:
    """Milliseconds from Galley's answer to the last proxy's ACK, and processor time of Pilot for a push."""
    figures = {}
    for name, made in CHANGES.items():
        lasts, pushes, cpu, size = [], 0, 0.0, 0
        for turn in range(turns):
            clients.ask("mark")
            before = mesh.cpu_seconds()
            written = mesh.config.apply(made(turn))
            answered = time.monotonic()
            mesh.wait_for(written.revision)
            found = clients.ask("arrivals")
            cpu += mesh.cpu_seconds() - before
            if found["last"]:
                lasts.append((max(found["last"]) - answered) * 1000)
            pushes += found["frames"]
            size += found["bytes"]
        figures[f"{name}_p50_milliseconds"] = statistics.median(lasts)
        figures[f"{name}_max_milliseconds"] = max(lasts)
        figures[f"{name}_pushes"] = pushes / turns
        figures[f"{name}_push_microseconds"] = cpu / max(pushes, 1) * 1e6
        figures[f"{name}_push_bytes"] = size / max(pushes, 1)
    return figures


def measure_rate(mesh: Mesh, clients: Proxies, seconds: float) -> dict[str, float]:
    """Pushes a second while endpoints change as fast as Galley takes them."""
    clients.ask("mark")
    began, turn = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        written = mesh.config.apply(endpoint_changed(turn))
        turn += 1
    mesh.wait_for(written.revision)
    found = clients.ask("arrivals")
    took = max(found["last"]) - began
    return {"sustained_pushes_per_second": found["frames"] / took, "sustained_changes_per_second": turn / took}


def measure_reconnect(mesh: Mesh, proxies: int) -> dict[str, float]:
    """Pilot is killed; until all streams are back and the next one owes none of them anything.

    Who has everything is sent nothing, so it is the new Pilot that says who is there.
    """
    began = time.monotonic()
    mesh.kill_pilot()
    while mesh.settled_streams() < proxies:
        assert time.monotonic() - began < 120, f"{mesh.settled_streams()} of {proxies} are back"
        time.sleep(0.05)
    return {"reconnect_seconds": time.monotonic() - began}


def run(options: argparse.Namespace) -> dict[str, float]:
    """One run."""
    with Mesh() as mesh:
        began = time.monotonic()
        mesh.feed(list(documents(options.services, options.classes)))
        figures = {"feed_seconds": time.monotonic() - began}
        with connected(mesh, options.proxies, options.classes) as (clients, took):
            figures |= took
            figures |= measure_changes(mesh, clients, options.turns, options.proxies)
            figures |= measure_rate(mesh, clients, options.seconds)
            figures["resident_mebibytes"] = mesh.resident_mebibytes()
            figures |= measure_reconnect(mesh, options.proxies)
    return figures


def main() -> None:
    """Runs, and what came of them: medians with the spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--proxies", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--turns", type=int, default=10, help="changes of each kind")
    parser.add_argument("--seconds", type=float, default=5.0, help="of changes as fast as they go")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    runs = [run(options) for _ in range(options.runs)]
    figures = {name: statistics.median(one[name] for one in runs) for name in runs[0]}
    for name, value in figures.items():
        spread = (
            f"  ({min(one[name] for one in runs):.2f} to {max(one[name] for one in runs):.2f})" if len(runs) > 1 else ""
        )
        print(f"{name:<36} {value:12.2f}{spread}")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    sizes = {key: getattr(options, key) for key in ("services", "proxies", "classes", "turns", "runs")}
    about = {"machine": f"{os.cpu_count()} processors, Python {platform.python_version()}", "load": os.getloadavg()[0]}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"scale-{stamp}.json").write_text(json.dumps({**sizes, **about, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
