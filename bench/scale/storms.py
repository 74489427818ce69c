"""Many at once: proxies that connect, that come back after Pilot was killed, that are there and are sent nothing; and
the first proxy of a Pilot that has just been started, with NATS and Galley and without them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from bench.scale.changes import Figures
from bench.scale.fed_objects import endpoint_changed
from bench.scale.mesh import Mesh
from bench.scale.progress import told
from bench.scale.proxies import Proxies

WAIT = 600.0


def connect(mesh: Mesh, clients: Proxies, proxies: int, before: int = 0) -> Figures:
    """So many in all, beside `before` that are there: until the last one has given its last ACK."""
    pilot = mesh.pilot()
    spent, memory = pilot.cpu_seconds(), pilot.resident_mebibytes()
    clients.ask("mark")
    began = clients.ask("proxies", proxies)["began"]
    found = clients.complete(proxies, WAIT)
    arrivals = clients.ask("arrivals")
    for why, count in arrivals["ends"].items():
        told(f"{count} streams ended while they connected: {why}")
    took = found["last"] - began
    joined = proxies - before
    cpu = pilot.cpu_seconds() - spent
    after = pilot.resident_mebibytes()
    return {
        "connect_seconds": took,
        "connect_streams_per_second": joined / took,
        "connect_first_seconds": min(arrivals["last"]) - began,
        "connect_cpu_milliseconds_per_stream": cpu / joined * 1000,
        "connect_bytes_per_stream": arrivals["bytes"] / joined,
        "connect_ended_streams": float(sum(arrivals["ends"].values())),
        "resident_mebibytes": after,
        "resident_kibibytes_per_stream": (after - memory) * 1024 / joined,
    }


def reconnect(mesh: Mesh, clients: Proxies, proxies: int) -> Figures:
    """Pilot is killed, and one endpoint changes while it is away, so that everybody has something to acknowledge:
    until the last proxy has."""
    clients.ask("mark")
    pid = mesh.pid()
    began = time.monotonic()
    mesh.kill_pilot()
    mesh.change([{"operation": "apply", "object": endpoint_changed(next(mesh.turns))}])
    mesh.pilot_after(pid)
    found = clients.ask("reached", proxies, WAIT)
    assert found["reached"] >= proxies, f"{found['reached']} of {proxies} are back: {clients.ends()}"
    last = max(clients.ask("arrivals")["last"])
    pilot = mesh.pilot()
    spent, memory = pilot.cpu_seconds(), pilot.resident_mebibytes()
    receipt = mesh.receipt(mesh.config.apply(endpoint_changed(next(mesh.turns))).revision)
    assert receipt.proxies >= proxies, f"the new Pilot knows {receipt.proxies} of {proxies} proxies"
    return {
        "reconnect_seconds": last - began,
        "reconnect_cpu_seconds": spent,
        "reconnect_resident_mebibytes": memory,
    }


def cold_start(mesh: Mesh, clients: Proxies) -> Figures:
    """Pilot is killed while nobody is connected, and one proxy with empty hands waits for the next one: until it has
    everything. It tries every few milliseconds (`clients` is a process of its own)."""
    return {f"cold_start_{name}": value for name, value in _first_after_start(mesh, clients).items()}


def alone_start(mesh: Mesh, clients: Proxies) -> Figures:
    """The same while NATS and Galley are away: Pilot has nothing but its copy on disk."""
    clients.ask("proxies", 0)
    with mesh.away("nats", "galley"):
        return {f"alone_start_{name}": value for name, value in _first_after_start(mesh, clients).items()}


def _first_after_start(mesh: Mesh, clients: Proxies) -> Figures:
    """From the start of the process, by CLOCK_MONOTONIC: when the proxy had its first message, when it had all and had
    acknowledged it, and when `/readyz` said so. Nothing of the Pilot before is left to serve it."""
    clients.ask("proxies", 0)
    mesh.wait_for_copy()
    pid = mesh.pid()
    began = time.monotonic()
    mesh.kill_pilot()
    clients.ask("proxies", 1)
    pilot = mesh.pilot_after(pid)
    with ThreadPoolExecutor(1) as beside:
        ready = beside.submit(mesh.ready_at)
        found = clients.complete(1, WAIT)
        spent = mesh.pilot().cpu_seconds()
        ready_at = ready.result()
    started = pilot.started()
    assert found["first"] > started, "the proxy was served before this Pilot was started"
    return {
        "first_response_seconds": found["first"] - started,
        "seconds": found["last"] - started,
        "ready_seconds": ready_at - started,
        "after_kill_seconds": found["last"] - began,
        "cpu_seconds": spent,
    }


def idle(mesh: Mesh, clients: Proxies, proxies: int, seconds: float) -> Figures:
    """So many proxies to which nothing happens, and then one change of an endpoint."""
    taken = connect(mesh, clients, proxies)
    pilot = mesh.pilot()
    spent = pilot.cpu_seconds()
    time.sleep(seconds)
    computed = pilot.cpu_seconds() - spent
    usage = clients.ask("usage")
    clients.ask("mark")
    mesh.change([{"operation": "apply", "object": endpoint_changed(next(mesh.turns))}])
    answered = time.monotonic()
    found = clients.ask("reached", proxies, WAIT)
    assert found["reached"] == proxies, f"{found['reached']} of {proxies} proxies were reached"
    last = max(clients.ask("arrivals")["last"])
    return {f"idle_{name}": value for name, value in taken.items()} | {
        "idle_pilot_processors": computed / seconds,
        "idle_files": float(pilot.files()),
        "idle_change_last_milliseconds": (last - answered) * 1000,
        "idle_client_mebibytes": usage["mebibytes"],
    }
