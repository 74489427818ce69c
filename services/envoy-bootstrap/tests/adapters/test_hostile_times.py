"""Attack 48: what goes wrong around an agent ends in a state that is documented and mends itself."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import stat
from pathlib import Path
from typing import Any

import httpx
from envoy_bootstrap.adapters.envoy_process import find_envoy
from meshcore.testing.identity import make_ca


def _envoy_that_fails_while(file: Path, starts: Path, script: Path) -> str:
    """An Envoy that takes every bootstrap and ends at once for as long as a file is there; it notes its starts."""
    script.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *validate*) ;; *) if test -e {file}; then echo started >> {starts}; exit 3; fi;; esac\n'
        f'exec {find_envoy("")} "$@"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


async def test_attack_48_an_envoy_that_crashes_again_and_again_is_started_more_and_more_seldom(mesh: Any) -> None:
    broken, starts = mesh.directory / "broken", mesh.directory / "starts"
    broken.touch()
    starts.touch()
    envoy = _envoy_that_fails_while(broken, starts, mesh.directory / "envoy")
    workload = await mesh.start_workload("front", 1, ENVOY_PATH=envoy)
    await mesh.until(lambda: starts.read_text().count("started") >= 4, "four starts")
    assert not await workload.ready()
    assert (await workload.get(15020, "/healthz/ready")).status_code == 503
    pauses = [
        json.loads(line)["restart_in"]
        for line in workload.log.read_text().splitlines()
        if "envoy ended unexpectedly" in line
    ]
    assert pauses[2] > pauses[0]
    broken.unlink()
    await mesh.until(workload.ready, "ready when Envoy holds")
    await mesh.until(lambda: mesh.pilot.said["front"][-1] == "healthy", "healthy again")


async def test_attack_48_a_proxy_that_was_killed_for_its_memory_says_so_and_comes_back(mesh: Any) -> None:
    workload = await mesh.start_ready("front", 1)
    first = await workload.envoy_pid()
    os.kill(first, signal.SIGKILL)
    await mesh.until(lambda: "perhaps out of memory" in workload.log.read_text(), "the hint")
    await mesh.until(workload.ready, "ready again")
    assert await workload.envoy_pid() != first


async def test_attack_48_open_connections_do_not_hold_up_an_end(mesh: Any) -> None:
    workload = await mesh.start_ready("front", 1)
    reader, writer = await asyncio.open_connection(workload.ip, 15021)
    writer.write(b"GET /healthz/ready HTTP/1.1\r\nHost: x\r\n")  # never completed
    await writer.drain()
    assert await workload.terminate() == 0
    assert await reader.read() == b""
    writer.close()
    await mesh.until(lambda: mesh.pilot.said["front"][-1] == "ended in good order", "the stream's end")


async def test_attack_48_a_full_disk_stops_no_traffic_and_is_over_when_it_is(mesh: Any) -> None:
    """No file can grow beyond a kilobyte, as on a file system without room."""
    key = mesh.directory / "state-key"
    key.write_bytes(os.urandom(32))
    settings = {
        "STATE_KEY_FILE": str(key),
        "SECRET_TTL": "20s",
        "SECRET_GRACE_PERIOD_RATIO": "0.95",
        "LOG_LEVEL": "error",
    }
    workload = await mesh.start_ready("front", 1, **settings)
    stored = (workload.state / "identity.sealed").read_bytes()
    full = (1024, resource.RLIM_INFINITY)
    resource.prlimit(workload.process.pid, resource.RLIMIT_FSIZE, full)
    issued = mesh.citadel.issued
    await mesh.until(lambda: mesh.citadel.issued >= issued + 2, "two renewals")
    assert await workload.ready(), "what cannot be kept is served all the same"
    assert (workload.state / "identity.sealed").read_bytes() == stored, "nothing is half written"
    os.kill(await workload.envoy_pid(), signal.SIGKILL)
    await mesh.until(lambda: not_ready(workload), "no bootstrap can be written")
    resource.prlimit(workload.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await mesh.until(workload.ready, "ready when there is room")
    await mesh.until(lambda: (workload.state / "identity.sealed").read_bytes() != stored, "kept again")


async def not_ready(workload: Any) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return bool((await workload.get(15020, "/healthz/ready")).status_code == 503)
    return False


async def test_attack_48_renewals_need_no_token(mesh: Any) -> None:
    workload = await mesh.start_ready("front", 1, SECRET_TTL="20s", SECRET_GRACE_PERIOD_RATIO="0.95")
    (mesh.directory / "token").unlink()
    issued = mesh.citadel.issued
    await mesh.until(lambda: mesh.citadel.issued >= issued + 2, "two renewals")
    assert await workload.ready()
    assert mesh.citadel.tokens == ["Bearer a-token"]


async def test_attack_48_a_root_that_was_replaced_while_the_agent_was_down_is_believed_by_its_file(mesh: Any) -> None:
    key = mesh.directory / "state-key"
    key.write_bytes(os.urandom(32))
    workload = await mesh.start_ready("front", 1, STATE_KEY_FILE=str(key))
    await workload.terminate()
    await mesh.stop_pilot()
    await mesh.stop_citadel()
    mesh.ca = mesh.citadel.ca = make_ca()
    (mesh.directory / "root-cert.pem").write_bytes(mesh.ca.root_pem)
    await mesh.start_pilot()
    await mesh.start_citadel()
    issued = mesh.citadel.issued
    mesh.pilot.said["front"].clear()
    await mesh.start_ready("front", 1, STATE_KEY_FILE=str(key))
    assert mesh.citadel.issued == issued + 1
