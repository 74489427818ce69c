"""From a change to the last ACK: one change at a time, and changes one right after the other."""

from __future__ import annotations

import statistics
import time

from bench.scale.fed_objects import CHANGES
from bench.scale.mesh import Mesh
from bench.scale.proxies import Proxies

Figures = dict[str, float]
WAIT = 120.0


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so many (0 to 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def measure_kind(mesh: Mesh, clients: Proxies, name: str, turns: int) -> Figures:
    """One kind of change, `turns` times; the first one, not counted, tells how many proxies each concerns.

    Milliseconds from Galley's answer to the ACK of each proxy that was sent something: over all pairs of change and
    proxy, and of the last proxy of each change. Galley may answer after the first proxies have: these count as zero.
    """
    pilot = mesh.pilot()
    changed = CHANGES[name]
    clients.ask("mark")
    mesh.receipt(mesh.config.apply(changed(next(mesh.turns))).revision)
    proxies = len(clients.ask("arrivals")["last"])
    pairs: list[float] = []
    lasts: list[float] = []
    committed: list[float] = []
    complete: list[float] = []
    writes: list[float] = []
    frames, size, cpu = 0, 0, 0.0
    for _ in range(turns):
        clients.ask("mark")
        spent = pilot.cpu_seconds()
        asked = time.monotonic()
        revision = mesh.config.apply(changed(next(mesh.turns))).revision
        answered = time.monotonic()
        clients.ask("reached", proxies, WAIT)
        convergence = mesh.receipt(revision)
        complete.append((time.monotonic() - answered) * 1000)
        cpu += pilot.cpu_seconds() - spent
        found = clients.ask("arrivals")
        arrived = [max(0.0, last - answered) * 1000 for last in found["last"]]
        pairs += arrived
        lasts.append(max(arrived, default=0.0))
        committed.append(convergence.took.total_seconds() * 1000)
        writes.append((answered - asked) * 1000)
        frames += found["frames"]
        size += found["bytes"]
    return {
        f"{name}_p50_milliseconds": statistics.median(pairs or [0.0]),
        f"{name}_p99_milliseconds": percentile(pairs or [0.0], 0.99),
        f"{name}_last_p50_milliseconds": statistics.median(lasts),
        f"{name}_last_p99_milliseconds": percentile(lasts, 0.99),
        f"{name}_last_max_milliseconds": max(lasts),
        f"{name}_receipt_milliseconds": statistics.median(complete),
        f"{name}_commit_to_ack_milliseconds": statistics.median(committed),
        f"{name}_write_milliseconds": statistics.median(writes),
        f"{name}_pushes": frames / turns,
        f"{name}_push_microseconds": cpu / max(frames, 1) * 1e6,
        f"{name}_cpu_milliseconds": cpu / turns * 1000,
        f"{name}_push_bytes": size / max(frames, 1),
    }


def measure_rate(mesh: Mesh, clients: Proxies, seconds: float, proxies: int) -> Figures:
    """Changes of endpoints, each as soon as the last proxy has the one before: changes that follow more closely are
    put together, so more proxies would not be sent anything more often."""
    pilot, turn = mesh.pilot(), 0
    clients.ask("mark")
    spent, began = pilot.cpu_seconds(), time.monotonic()
    frames = 0
    client_spent = clients.ask("usage")["cpu_seconds"]
    while (now := time.monotonic()) - began < seconds:
        mesh.change([{"operation": "apply", "object": CHANGES["endpoint"](next(mesh.turns))}])
        found = clients.ask("reached", proxies, WAIT)
        assert found["reached"] >= proxies, f"{found['reached']} of {proxies} proxies were reached"
        frames += proxies
        turn += 1
        clients.ask("mark")
    took = now - began
    cpu = pilot.cpu_seconds() - spent
    return {
        "sustained_pushes_per_second": frames / took,
        "sustained_changes_per_second": turn / took,
        "sustained_push_microseconds": cpu / frames * 1e6,
        "sustained_pilot_processors": cpu / took,
        "sustained_client_push_microseconds": (clients.ask("usage")["cpu_seconds"] - client_spent) / frames * 1e6,
    }
