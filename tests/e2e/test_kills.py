"""kill -9 of each service under traffic, on a mesh of its own whose supervisor restarts nothing by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mesh import Mesh, client, destination_rule, route, service, virtual_service, wait_until, workload
from meshcore.errors import MeshError
from meshctl.adapters.traffic import Reply

ECHO = "http://echo:9080/"
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


def test_a_recovering_pilot_deregisters_nobody(mesh: Mesh) -> None:
    mesh.apply(virtual_service("echo", [route("echo", ("v1", 50), ("v2", 50))]))
    with mesh.traffic(ECHO, rate=200) as traffic:
        mesh.kill("pilot")
        traffic.send_more(100)
        mesh.up()
        traffic.send_more(PAST_THE_GRACE)
    traffic.assert_no_failure()
    assert versions(traffic.replies[-100:]) == {"v1", "v2"}


def test_with_galley_away_a_write_is_refused_and_traffic_goes_on(mesh: Mesh) -> None:
    mesh.kill("galley")
    with pytest.raises(MeshError, match="does not answer"):
        mesh.config.apply(virtual_service("echo", [route("echo", "v1")]))
    assert mesh.get(ECHO).good
    mesh.up()
    mesh.apply(virtual_service("echo", [route("echo", "v1")]))
