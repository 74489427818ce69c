"""kill -9 of each service under traffic, on a mesh of its own whose supervisor restarts nothing by itself."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from envoy_bootstrap.adapters.stored_state import StoredState, decompress
from mesh import Mesh, client, destination_rule, kill_sessions, route, service, virtual_service, wait_until, workload
from meshcore.bus.last_copy import read_last_copy
from meshcore.errors import MeshError
from meshcore.testing.identity import make_ca
from meshctl.adapters.traffic import Reply
from meshctl.core.topology import ADMIN_PORT
from tls_hosts import HOST, Client, applied, bound, gateway, issue, key_pair, secret

ECHO = "http://echo:9080/"
MARK = "77s"
"""A timeout that no other route has."""
PAST_THE_GRACE = 2600
"""Requests at 200 a second: 13 s, longer than the 10 s of grace that a lost registration gets."""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    entries = [client(), workload("echo-v1", app="echo"), workload("echo-v2", app="echo", version="v2")]
    running = Mesh(entries, "--no-restart").start()
    try:
        running.apply(
            service("echo"), destination_rule("echo", "v1", "v2"), virtual_service("echo", [route("echo", "v1")])
        )
        wait_until("echo answers", lambda: running.get(ECHO).good)
        yield running
    finally:
        running.close()


def versions(replies: list[Reply]) -> set[str]:
    return {reply.body["version"] for reply in replies if reply.good}


@pytest.mark.parametrize("name", ["galley", "citadel", "nats", "pilot"])
def test_a_killed_service_fails_no_request_and_the_next_change_converges(mesh: Mesh, name: str) -> None:
    mesh.apply(virtual_service("echo", [route("echo", "v1")]))
    with mesh.traffic(ECHO, rate=200) as traffic:
        mesh.kill(name)
        traffic.send_more(200)
        mesh.up()
        mesh.apply(virtual_service("echo", [route("echo", "v2")]))
        wait_until("everybody reads v2", lambda: versions(traffic.replies[-20:]) == {"v2"})
    traffic.assert_no_failure()


def test_check_names_the_bus_that_is_away_and_is_content_when_it_is_back(mesh: Mesh) -> None:
    wanted = {"ServiceSilent": "nats", "NotPublishing": "galley", "FeedDisconnected": "pilot"}

    def all_named() -> dict[str, Any] | None:
        done = mesh.run_here("check", "-o", "json", "--timeout", "0", check=False)
        assert done.exit_code == 1
        told: dict[str, Any] = json.loads(done.stdout)
        return told if {one["code"]: one["subject"] for one in told["findings"]} == wanted else None

    mesh.kill("nats")
    told = wait_until("who needs it has noticed, and is named", all_named)
    assert [one["config"]["connected"] for one in told["pilots"]] == [False]
    mesh.up()
    mesh.run_here("check", "--timeout", "60")


def test_a_recovering_pilot_deregisters_nobody(mesh: Mesh) -> None:
    mesh.apply(virtual_service("echo", [route("echo", ("v1", 50), ("v2", 50))]))
    with mesh.traffic(ECHO, rate=200) as traffic:
        mesh.kill("pilot")
        traffic.send_more(100)
        mesh.up()
        traffic.send_more(PAST_THE_GRACE)
    traffic.assert_no_failure()
    assert versions(traffic.replies[-100:]) == {"v1", "v2"}


def sent(mesh: Mesh) -> dict[str, float]:
    """Messages that Pilot has sent, by type."""
    page = httpx.get(f"http://{mesh.stack.pilot()}:{ADMIN_PORT}/metrics", trust_env=False, timeout=60).text
    found = re.findall(r'^pilot_xds_pushes\{type="(\w+)"\} (\S+)$', page, re.MULTILINE)
    return {kind: float(count) for kind, count in found}


def recorded(mesh: Mesh, name: str) -> str:
    """The configuration that a workload's agent keeps for its next Envoy."""
    item = mesh.workload(name)
    key_file = mesh.layout.state_key(item["namespace"], name)
    snapshot = StoredState.open(Path(item["envoy_admin"]).parent, key_file).load_snapshot()
    return decompress(snapshot) if snapshot else ""


def test_envoys_whose_pilot_is_back_unchanged_are_sent_nothing_but_endpoints(mesh: Mesh) -> None:
    """An Envoy does not tell the versions of endpoints: those that its agent gave it meanwhile may be others."""
    mesh.apply(virtual_service("echo", [route("echo", "v1")]))
    held = {"cds", "eds", "lds", "rds"}
    sidecars = {"client.default", "echo-v1.default", "echo-v2.default"}

    def asked() -> bool:
        """Whether all have come and told what they hold."""
        rows = {row["proxy"]: row["resources"] for row in mesh.pilot().sync_status()}
        return sidecars <= rows.keys() and all(held <= rows[one].keys() for one in sidecars)

    wait_until("everybody holds everything", asked)
    before = sent(mesh)
    assert before["rds"] > 0, before  # Envoys that were there before this Pilot were perhaps sent nothing else
    revision = mesh.config.apply(virtual_service("echo", [route("echo", "v2") | {"timeout": MARK}])).revision
    mesh.converged(revision)
    # Pilot begins with its copies, and while it is away Envoys are given what their agents recorded: either may be
    # written before the receipt is complete, or a little later.
    for name in ("client", "echo-v1", "echo-v2"):
        wait_until(f"{name}'s agent has recorded it", lambda name=name: MARK in recorded(mesh, name))
    state = Path(mesh.layout.state("pilot"))

    def copied() -> bool:
        copy = read_last_copy(state / "config.copy")
        return copy is not None and copy.revision >= revision

    wait_until("Pilot has its copy", copied)
    wait_until("registrations are", lambda: (state / "registered.json").read_text().count('"healthy":true') == 2)

    mesh.kill("pilot")
    mesh.up()
    wait_until("everybody is back", asked)
    # Behind this change nothing can be on its way that was sent because they came.
    mesh.apply(virtual_service("echo", [route("echo", "v1")]))
    after = sent(mesh)
    assert {kind: after.get(kind, 0.0) for kind in ("cds", "lds")} == {"cds": 0, "lds": 0}
    assert after.get("eds", 0.0) <= len(sidecars)
    assert 1 <= after["rds"] <= len(sidecars)
    assert mesh.get(ECHO).body["version"] == "v1"


def test_with_galley_away_a_write_is_refused_and_traffic_goes_on(mesh: Mesh) -> None:
    mesh.kill("galley")
    with pytest.raises(MeshError, match="does not answer"):
        mesh.config.apply(virtual_service("echo", [route("echo", "v1")]))
    assert mesh.get(ECHO).good
    mesh.up()
    mesh.apply(virtual_service("echo", [route("echo", "v1")]))


@contextmanager
def started_again(mesh: Mesh, name: str) -> Iterator[None]:
    """A workload's agent and Envoy, killed and started as they were, by nobody else than this test."""
    process = Path(f"/proc/{mesh.workload(name)['pid']}")
    command = [part.decode() for part in (process / "cmdline").read_bytes().split(b"\0")[:-1]]
    variables = (process / "environ").read_bytes().split(b"\0")[:-1]
    environment = dict(item.decode().split("=", 1) for item in variables)
    kill_sessions([int(process.name)])
    with open(mesh.home / f"{name}-again.log", "wb") as log:
        again = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield
    finally:
        kill_sessions([again.pid])
        again.wait()


def test_a_gateway_that_starts_without_pilot_serves_https_again(mesh: Mesh) -> None:
    root = make_ca("public")
    pair = issue(root, HOST)
    route_to_echo = bound("kept", HOST)
    route_to_echo["spec"]["http"] = [{"route": [{"destination": {"host": "echo.default.svc.cluster.local"}}]}]
    tls = {"mode": "SIMPLE", "credentialName": "kept"}
    way_in = service("edge", "edge")
    way_in["spec"]["ports"] = [{"name": "https", "port": 443, "targetPort": 8443}]
    mesh.apply(virtual_service("echo", [route("echo", "v1")]))
    mesh.add(client("edge", namespace="edge", type="router", ports=[8080, 8443]))
    outside = Client(mesh, root)
    with applied(mesh, secret("kept", key_pair(pair)), way_in, gateway("kept", [HOST], tls), route_to_echo):
        assert wait_until("an answer over TLS", outside.answer)[0] == 200
        number = int(str(mesh.workload("edge")["address"]).rpartition(".")[2])
        stored = Path(mesh.layout.workload(number)) / "secrets.sealed"
        wait_until("the Secret is kept", stored.exists)
        assert stored.stat().st_mode & 0o777 == 0o600
        assert b"PRIVATE KEY" not in stored.read_bytes()
        mesh.kill("pilot")
        with started_again(mesh, "edge"):
            status, _ = wait_until("an answer over TLS without Pilot", outside.answer)
            assert status == 200
            assert outside.shown() == pair.chain
            assert mesh.service("pilot")["state"] != "running"
