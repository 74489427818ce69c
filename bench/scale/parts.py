"""The parts of a run, each with every figure that it measures."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bench.scale import curves, storms
from bench.scale.changes import Figures, measure_kind, measure_rate
from bench.scale.fed_objects import CHANGES
from bench.scale.mesh import Mesh
from bench.scale.profiles import Profile
from bench.scale.progress import told
from bench.scale.proxies import Proxies, proxies_of
from bench.scale.spent import cpu_seconds, wait_for_rest


def cold_start(mesh: Mesh, clients: Proxies, profile: Profile, certificates: Path | None) -> Figures:
    """With a process of one impatient proxy."""
    with proxies_of(clients.target, 1, certificates, "--longest-pause", "0.01") as single:
        return {**storms.cold_start(mesh, single), **storms.alone_start(mesh, single)}


def changes(mesh: Mesh, clients: Proxies, profile: Profile, _: Path | None) -> Figures:
    """Connecting, every kind of change, and changes as fast as they go."""
    figures = storms.connect(mesh, clients, profile.proxies)
    for name in CHANGES:
        figures |= measure_kind(mesh, clients, name, profile.turns)
        told(name, figures[f"{name}_last_p50_milliseconds"], "ms")
    return figures | measure_rate(mesh, clients, profile.seconds, profile.proxies)


def reconnect(mesh: Mesh, clients: Proxies, profile: Profile, _: Path | None) -> Figures:
    """More proxies than before, all of which have to come back."""
    more = storms.connect(mesh, clients, profile.reconnecting, profile.proxies) if profile.more else {}
    figures = {f"more_{name}": value for name, value in more.items()}
    return figures | storms.reconnect(mesh, clients, profile.reconnecting)


def proxies(mesh: Mesh, clients: Proxies, profile: Profile, _: Path | None) -> Figures:
    """The curve over proxies."""
    clients.ask("proxies", 0)
    return curves.by_proxies(mesh, clients, profile)


def services(mesh: Mesh, clients: Proxies, profile: Profile, _: Path | None) -> Figures:
    """The curve over services."""
    return curves.by_services(mesh, clients, profile)


def idle(mesh: Mesh, clients: Proxies, profile: Profile, _: Path | None) -> Figures:
    """Many proxies to which nothing happens."""
    clients.ask("proxies", 0)
    return storms.idle(mesh, clients, profile.idle_proxies, profile.seconds)


def envoys(mesh: Mesh, clients: Proxies, profile: Profile, _: Path | None) -> Figures:
    """Real Envoys beside the simulated proxies; a receipt waits for all of them."""
    storms.connect(mesh, clients, profile.proxies)
    began = time.monotonic()
    mesh.start_envoys(profile.envoys, profile.classes)
    figures = {"ready_seconds": time.monotonic() - began}
    running = mesh.envoys()
    figures["rest_seconds"] = wait_for_rest(running)
    for name in ("endpoint", "virtual_service"):
        spent, began = cpu_seconds(running), time.monotonic()
        figures |= measure_kind(mesh, clients, name, profile.turns)
        # for one of all changes, that which is not counted too
        figures[f"{name}_envoy_milliseconds"] = (cpu_seconds(running) - spent) / (profile.turns + 1) * 1000
        figures[f"{name}_turn_milliseconds"] = (time.monotonic() - began) / (profile.turns + 1) * 1000
    memory = [one.resident_mebibytes() for one in running]
    figures |= {"mebibytes_each": sum(memory) / len(memory), "rejects": mesh.rejects()}
    return {f"envoys_{name}": value for name, value in figures.items()}


def workers(mesh: Mesh, clients: Proxies, profile: Profile, certificates: Path | None) -> Figures:
    """What several processes on one port bear."""
    figures = cold_start(mesh, clients, profile, certificates) | storms.connect(mesh, clients, profile.proxies)
    figures |= measure_kind(mesh, clients, "endpoint", profile.turns)
    figures |= measure_rate(mesh, clients, profile.seconds, profile.proxies)
    return {f"workers_{name}": value for name, value in figures.items()}


PARTS: dict[str, Callable[[Mesh, Proxies, Profile, Path | None], Figures]] = {
    "cold_start": cold_start,
    "changes": changes,
    "reconnect": reconnect,
    "proxies": proxies,
    "services": services,
    "idle": idle,
    "envoys": envoys,
    "workers": workers,
}


def measure(mesh: Mesh, clients: Proxies, profile: Profile, certificates: Path | None) -> Figures:
    """All parts of a profile, over one transport."""
    figures: Figures = {}
    for name in profile.parts:
        told(name)
        figures |= PARTS[name](mesh, clients, profile, certificates)
    return figures | {"client_mebibytes": clients.ask("usage")["mebibytes"]}
