"""Envoy and agent are replaced under load, with a real Envoy; no request fails."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
from envoy_bootstrap.adapters.handover import HANDOVER_SOCKET
from meshcore.runtime import tasks
from meshcore.testing.processes import is_running
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE

from .conftest import get_beside_a_replacement

_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
}
_SHORT = json.dumps({"terminationDrainDuration": "2s", "drainDuration": "1s"})


def answering(make: Any, ip: str) -> dict[str, Any]:
    """A listener that answers by itself with the node's name."""
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "here"}}}
    hosts = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]}
    manager = {"@type": _MANAGER, "stat_prefix": "http", "http_filters": [_ROUTER], "route_config": hosts}
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": ip, "port_value": 9080}}
    listener = {"name": f"{ip}_9080", "address": address, "filter_chains": [{"filters": filters}]}
    return {CLUSTER_TYPE: {}, LISTENER_TYPE: {listener["name"]: make(LISTENER_TYPE, listener)}}


class Load:
    """200 requests a second by eight clients, half of them on new connections; each failure is kept."""

    def __init__(self, ip: str) -> None:
        self.url = f"http://{ip}:9080/"
        self.answered = 0
        self.failures: list[str] = []
        self._resets: list[str] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(self._client(keep=number % 2 == 0))

    async def _client(self, *, keep: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=1 if keep else 0)
        async with httpx.AsyncClient(timeout=30, limits=limits, verify=False) as client:
            while True:
                if (problem := await self._ask(client)) is not None:
                    self.failures.append(problem)
                self.answered += 1
                await asyncio.sleep(0.04)

    async def _ask(self, client: httpx.AsyncClient) -> str | None:
        try:
            response = await get_beside_a_replacement(client, self.url, self._resets)
        except httpx.TransportError as error:
            return repr(error)
        return None if response.status_code == 200 else f"{response.status_code} {response.text}"

    async def until_more(self, mesh: Any, count: int) -> None:
        wanted = self.answered + count
        await mesh.until(lambda: self.answered >= wanted, f"{count} more answers")


async def start(mesh: Any, make: Any, **settings: str) -> Any:
    mesh.pilot.resources["front"] = answering(make, mesh.claim.address(11))
    workload = await mesh.start_ready("front", 1, PROXY_CONFIG=_SHORT, **settings)
    await mesh.until(lambda: answers(workload), "the listener")
    return workload


async def answers(workload: Any) -> bool:
    try:
        return bool((await workload.get(9080)).status_code == 200)
    except httpx.TransportError:
        return False


async def test_envoy_is_replaced_with_a_changed_bootstrap_under_load(mesh: Any, make_resource: Any) -> None:
    override: Path = mesh.directory / "override.json"
    override.write_text("{}")
    workload = await start(mesh, make_resource, ISTIO_BOOTSTRAP_OVERRIDE=str(override))
    first = await workload.envoy_pid()
    load = Load(workload.ip)
    async with tasks.background(load.run(), name="load"):
        await load.until_more(mesh, 100)
        override.write_text(json.dumps({"stats_flush_interval": "7s"}))
        workload.process.send_signal(signal.SIGHUP)
        await mesh.until(lambda: not is_running(first), "the end of the old Envoy")
        await load.until_more(mesh, 100)
        override.write_text("{{ no template }}")
        workload.process.send_signal(signal.SIGHUP)
        await mesh.until(lambda: "envoy is not replaced" in workload.log.read_text(), "the refusal")
        await load.until_more(mesh, 20)
    assert load.failures == []
    assert await workload.envoy_pid() != first
    assert '"stats_flush_interval": "7s"' in await workload.admin("/config_dump")
    assert mesh.pilot.said["front"].count("opened") == 1, "Pilot saw nothing of it"


async def test_an_agent_follows_another_under_load_and_takes_its_registration(mesh: Any, make_resource: Any) -> None:
    old = await start(mesh, make_resource)
    envoy = await old.envoy_pid()
    issued = mesh.citadel.issued
    load = Load(old.ip)
    async with tasks.background(load.run(), name="load"):
        await load.until_more(mesh, 100)
        mesh.pilot.said["front"].clear()
        new = await mesh.start_workload("front", 1, arguments=("--take-over",), PROXY_CONFIG=_SHORT)
        await mesh.until(lambda: old.process.returncode is not None, "the end of the old agent")
        await load.until_more(mesh, 100)
    assert load.failures == []
    assert old.process.returncode == 0, old.log.read_text()
    assert not is_running(envoy)
    assert await new.ready()
    assert mesh.citadel.issued == issued, "the certificate was handed over"
    said = mesh.pilot.said["front"]
    assert said[:2] == ["opened", "healthy"], "the new stream comes before the old one goes, and is well at once"
    assert not {"the proxy is draining", "ended in good order"} & set(said), "which would de-register the workload"
    assert (new.state / "admin.sock").resolve().name == "admin-2.sock"

    third = await mesh.start_workload("front", 1, arguments=("--take-over",), PROXY_CONFIG=_SHORT)
    await mesh.until(lambda: new.process.returncode == 0, "the end of the second agent")
    await mesh.until(third.ready, "the third agent ready")
    assert await third.terminate() == 0
    assert sorted(path.name for path in third.state.iterdir()) == []


async def test_an_agent_follows_another_with_the_control_plane_away(mesh: Any, make_resource: Any) -> None:
    key = mesh.directory / "state-key"
    key.write_bytes(os.urandom(32))
    old = await start(mesh, make_resource, STATE_KEY_FILE=str(key))
    await mesh.until(lambda: (old.state / "snapshot.sealed").exists(), "a snapshot")
    await mesh.stop_pilot()
    await mesh.stop_citadel()
    load = Load(old.ip)
    async with tasks.background(load.run(), name="load"):
        new = await mesh.start_workload("front", 1, arguments=("--take-over",), PROXY_CONFIG=_SHORT)
        await mesh.until(lambda: old.process.returncode is not None, "the end of the old agent")
        await load.until_more(mesh, 50)
    assert load.failures == []
    assert await new.ready()


async def test_an_agent_that_cannot_follow_leaves_the_old_one_as_it_was(mesh: Any, make_resource: Any) -> None:
    old = await start(mesh, make_resource)
    bad = mesh.directory / "bad.json"
    bad.write_text(json.dumps({"static_resources": {"listeners": 5}}))
    load = Load(old.ip)
    async with tasks.background(load.run(), name="load"):
        new = await mesh.start_workload(
            "front", 1, arguments=("--take-over",), PROXY_CONFIG=_SHORT, ISTIO_BOOTSTRAP_OVERRIDE=str(bad)
        )
        await mesh.until(lambda: "Envoy refuses the bootstrap" in new.log.read_text(), "the refusal")
        new.process.kill()
        await new.process.wait()
        await mesh.until(lambda: "this one serves on" in old.log.read_text(), "the old agent's word")
        await load.until_more(mesh, 50)
        await mesh.until(lambda: (old.state / "sds.sock").exists(), "the old agent's sockets")
    assert load.failures == []
    assert await old.ready()
    assert mesh.pilot.said["front"].count("opened") == 1
    again = await mesh.start_workload("front", 1, arguments=("--take-over",), PROXY_CONFIG=_SHORT)
    await mesh.until(lambda: old.process.returncode == 0, "the end of the old agent")
    assert await again.ready()


async def test_without_an_agent_to_follow_it_is_a_start_like_any_other(mesh: Any) -> None:
    workload = await mesh.start_workload("front", 1, arguments=("--take-over",))
    await mesh.until(workload.ready, "ready")
    await mesh.until(lambda: (workload.state / HANDOVER_SOCKET).exists(), "the socket for the next")
