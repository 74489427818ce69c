"""Changes of config under real requests, on the shared mesh. What config means is told by the rows of `traffic/`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mesh import Mesh, destination_rule, route, virtual_service, wait_until
from meshctl.adapters.peer_certificate import presented_certificate

ECHO = "http://echo:9080/"


@pytest.fixture(autouse=True)
def _no_virtual_service_is_left(mesh: Mesh) -> Iterator[None]:
    yield
    mesh.run_here("delete", "virtualservice", "echo", "--ignore-not-found")


def versions(mesh: Mesh, count: int, **more: Any) -> Counter[str]:
    replies = mesh.get_many(ECHO, count, **more)
    assert all(reply.good for reply in replies), [reply for reply in replies if not reply.good][:3]
    return Counter(str(reply.body["version"]) for reply in replies)


def test_a_change_is_in_force_when_its_receipt_is_complete(mesh: Mesh) -> None:
    for turn in range(20):
        wanted = f"v{turn % 2 + 1}"
        receipt = mesh.apply(virtual_service("echo", [route("echo", wanted)]))
        assert receipt.proxies >= 1
        assert receipt.took.total_seconds() > 0
        assert set(versions(mesh, 5)) == {wanted}


def test_subsets_come_and_go_under_traffic_without_a_failed_request(mesh: Mesh) -> None:
    mesh.apply(virtual_service("echo", [route("echo", "v1")]))
    with mesh.traffic(ECHO, rate=200) as traffic:
        for _ in range(50):
            mesh.config.apply(destination_rule("echo", "v1", "v2"))
            mesh.config.apply(virtual_service("echo", [route("echo", "v2")]))
            mesh.config.apply(virtual_service("echo", [route("echo", "v1")]))
            mesh.apply(destination_rule("echo", "v1"))
        traffic.send_more(100)
    traffic.assert_no_failure()
    mesh.apply(destination_rule("echo", "v1", "v2"))


def test_a_workload_presents_its_own_identity(mesh: Mesh) -> None:
    identity = Path(mesh.layout.identities) / "meshctl"
    shown = presented_certificate(mesh.workload("ledger")["address"], 9080, identity)
    assert shown.spiffe_id == "spiffe://cluster.local/ns/books/sa/ledger"
    assert shown.not_before < shown.not_after


def test_a_receipt_names_every_proxy_of_the_mesh(mesh: Mesh) -> None:
    def connected() -> int:
        return len(mesh.pilot().sync_status())

    assert wait_until("four proxies", lambda: connected() >= 4)
