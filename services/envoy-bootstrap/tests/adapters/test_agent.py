"""One agent with its real Envoy: start, what it shows, how it ends."""

import asyncio
import json
import os
import signal
import stat
from typing import Any

from meshcore.testing.processes import is_running


async def test_a_workload_starts_and_shows_its_state(mesh: Any) -> None:
    workload = await mesh.start_ready("front", 1)

    node = mesh.pilot.nodes["front"]
    assert node.id == f"sidecar~{workload.ip}~front.shop~shop.svc.cluster.local"
    assert node.metadata["GENERATOR"] == "agent"
    assert node.metadata["AUTO_REGISTER_GROUP"] == "front"
    assert mesh.citadel.tokens == ["Bearer a-token"]
    assert (await workload.get(15020, "/healthz/ready")).status_code == 200

    names = {
        line.partition("{")[0].partition(" ")[0]
        for line in (await workload.get(15020, "/stats/prometheus")).text.splitlines()
    }
    assert {"istio_agent_cert_expiry_seconds", "istio_agent_process_open_fds", "envoy_server_live"} <= names
    assert "envoy_server_live" in (await workload.get(15090, "/stats/prometheus")).text
    assert (await workload.get(15090, "/config_dump")).status_code == 404

    certificates = json.loads(await workload.admin("/certs"))["certificates"]
    uris = {name["uri"] for c in certificates for chain in c["cert_chain"] for name in chain["subject_alt_names"]}
    assert "spiffe://cluster.local/ns/shop/sa/front" in uris

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in workload.state.iterdir()}
    assert stat.S_IMODE(workload.state.stat().st_mode) == 0o700
    assert modes == dict.fromkeys(modes, 0o600)
    assert {"sds.sock", "ads.sock", "admin.sock"} <= modes.keys()
    private = [path for path in workload.state.iterdir() if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]
    assert private == []
    assert "PRIVATE" not in workload.log.read_text()
    assert "a-token" not in workload.log.read_text()


async def test_commands_need_a_post(mesh: Any) -> None:
    workload = await mesh.start_ready("front", 1)
    assert (await workload.get(15020, "/quitquitquit")).status_code == 405
    assert (await workload.get(15020, "/drain")).status_code == 405
    assert (await workload.get(15020, "/config_dump")).status_code == 404
    assert (await workload.post(15020, "/quitquitquit")).status_code == 200
    assert await workload.process.wait() == 0


async def test_sigterm_takes_the_workload_out_of_sight_drains_it_and_leaves_nothing(mesh: Any) -> None:
    workload = await mesh.start_ready("front", 1)
    envoy = await workload.envoy_pid()
    assert await workload.terminate() == 0
    await mesh.until(lambda: mesh.pilot.said["front"][-1] == "ended in good order", "the stream's end")
    assert mesh.pilot.said["front"][-2:] == ["the proxy is draining", "ended in good order"]
    assert not is_running(envoy)
    assert sorted(path.name for path in workload.state.iterdir()) == []


async def test_an_envoy_that_crashes_is_started_again(mesh: Any) -> None:
    workload = await mesh.start_ready("front", 1)
    first, said = await workload.envoy_pid(), len(mesh.pilot.said["front"])
    os.kill(first, signal.SIGSEGV)
    await mesh.until(lambda: set(mesh.pilot.said["front"][said:]) - {"healthy"}, "the crash reported to Pilot")
    await mesh.until(workload.ready, "ready again")
    assert await workload.envoy_pid() != first
    await mesh.until(lambda: mesh.pilot.said["front"][-1] == "healthy", "healthy again")
    assert mesh.citadel.issued == 1
    assert "istio_agent_envoy_unexpected_exits_total 1.0" in (await workload.get(15020, "/stats/prometheus")).text


async def test_no_envoy_outlives_a_killed_agent_and_the_next_agent_starts(mesh: Any) -> None:
    workload = await mesh.start_ready("front", 1)
    envoy = await workload.envoy_pid()
    workload.process.kill()
    await workload.process.wait()
    await mesh.until(lambda: not is_running(envoy), "the end of Envoy")
    mesh.pilot.said["front"].clear()
    await mesh.start_ready("front", 1)


async def test_a_second_agent_on_the_same_address_is_refused(mesh: Any) -> None:
    await mesh.start_ready("front", 1)
    other = await mesh.start_workload("other", 1)
    assert await other.process.wait() == 1
    assert "cannot listen on" in other.log.read_text()


async def test_without_a_certificate_nothing_is_ready_and_citadels_return_is_enough(mesh: Any) -> None:
    await mesh.stop_citadel()
    workload = await mesh.start_workload("front", 1)
    await mesh.until(lambda: "certificate not renewed" in workload.log.read_text(), "the first failure")
    assert not await workload.ready()
    await mesh.start_citadel()
    await mesh.until(workload.ready, "ready after Citadel's return")


async def test_a_missing_variable_is_named(mesh: Any) -> None:
    workload = await mesh.start_workload("front", 1, POD_NAMESPACE="", SECRET_TTL="tomorrow")
    assert await workload.process.wait() == 2
    assert "POD_NAMESPACE: is not set" in workload.log.read_text()
    assert "SECRET_TTL" in workload.log.read_text()


async def test_traffic_comes_once_the_application_passes_its_probe(mesh: Any) -> None:
    app = mesh.claim.address(101)
    front = await mesh.start_workload(
        "front",
        1,
        ISTIO_META_MESHCORE_APP_ADDRESS=app,
        MESHCORE_APP_PROBE="http://:9080/health",
        MESHCORE_APP_METRICS=f"http://{app}:9080/metrics",
    )
    refused = "the application does not pass its health check"
    await mesh.until(lambda: mesh.pilot.said.get("front", [""])[-1] == refused, "the failing probe")
    assert "app_total" not in (await front.get(15020, "/stats/prometheus")).text

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\napp_total 7\n")
        writer.close()

    async with await asyncio.start_server(answer, app, 9080):
        await mesh.until(lambda: mesh.pilot.said["front"][-1] == "healthy", "the passing probe")
        merged = (await front.get(15020, "/stats/prometheus")).text
    assert "app_total 7" in merged
    assert "envoy_server_live" in merged
