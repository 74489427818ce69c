"""Traffic rows on the shared mesh: what a change of config does to real requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mesh import Mesh, destination_rule, route, virtual_service, wait_until
from meshctl.adapters.peer_certificate import plaintext_answer, presented_certificate

ECHO = "http://echo:9080/"


@pytest.fixture(autouse=True)
def _no_virtual_service_is_left(mesh: Mesh) -> Iterator[None]:
    yield
    mesh.run_here("delete", "virtualservice", "echo", "--ignore-not-found")


def versions(mesh: Mesh, count: int, **more: Any) -> Counter[str]:
    replies = mesh.get_many(ECHO, count, **more)
    assert all(reply.good for reply in replies), [reply for reply in replies if not reply.good][:3]
    return Counter(str(reply.body["version"]) for reply in replies)


def test_a_request_passes_two_envoys_and_carries_its_caller(mesh: Mesh) -> None:
    reply = mesh.get(ECHO)
    assert reply.good, reply
    assert reply.body["caller"] == "spiffe://cluster.local/ns/default/sa/client"


def test_a_host_of_another_namespace_is_reached_by_its_longer_name(mesh: Mesh) -> None:
    assert mesh.get("http://ledger.books:9080/").good
    assert mesh.get("http://ledger.books.svc.cluster.local:9080/").good


def test_traffic_moves_as_the_virtual_service_says(mesh: Mesh) -> None:
    mesh.apply(virtual_service("echo", [route("echo", "v1")]))
    assert set(versions(mesh, 40)) == {"v1"}
    mesh.apply(virtual_service("echo", [route("echo", ("v1", 50), ("v2", 50))]))
    assert 50 < versions(mesh, 200)["v2"] < 150
    by_header = {"match": [{"headers": {"end-user": {"exact": "ada"}}}]} | route("echo", "v2")
    mesh.apply(virtual_service("echo", [by_header, route("echo", "v1")]))
    assert set(versions(mesh, 40, headers={"end-user": "ada"})) == {"v2"}
    assert set(versions(mesh, 40)) == {"v1"}
    mesh.apply(virtual_service("echo", [route("echo", "v2")]))
    assert set(versions(mesh, 40)) == {"v2"}


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


def test_a_route_to_a_missing_subset_fails_alone(mesh: Mesh) -> None:
    """Documented outcome: the change is accepted and acknowledged, its requests get 503, all else goes on."""
    mesh.apply(virtual_service("echo", [route("echo", "v9")]))
    reply = mesh.get(ECHO)
    assert reply.status == 503, reply
    assert mesh.get("http://ledger.books:9080/").good
    mesh.apply(virtual_service("echo", [route("echo", "v1")]))
    assert mesh.get(ECHO).good


def test_a_strict_workload_refuses_plaintext(mesh: Mesh) -> None:
    address = mesh.workload("ledger")["address"]
    assert " 200 " in plaintext_answer(address, 9080, "ledger.books:9080")
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "ledger", "namespace": "books"},
        "spec": {"selector": {"matchLabels": {"app": "ledger"}}, "mtls": {"mode": "STRICT"}},
    }
    mesh.apply(policy)
    assert plaintext_answer(address, 9080, "ledger.books:9080").startswith("refused")
    assert mesh.get("http://ledger.books:9080/").good
    mesh.delete(policy)
    assert " 200 " in plaintext_answer(address, 9080, "ledger.books:9080")


def test_a_workload_presents_its_own_identity(mesh: Mesh) -> None:
    identity = Path(mesh.layout.identities) / "meshctl"
    shown = presented_certificate(mesh.workload("ledger")["address"], 9080, identity)
    assert shown.spiffe_id == "spiffe://cluster.local/ns/books/sa/ledger"
    assert shown.not_before < shown.not_after


def test_an_unknown_host_is_no_way_out_of_the_mesh_for_the_others(mesh: Mesh) -> None:
    assert mesh.get("http://nobody.nowhere:9080/").status in (502, 503, 504)
    assert mesh.get(ECHO).good


def test_a_receipt_names_every_proxy_of_the_mesh(mesh: Mesh) -> None:
    def connected() -> int:
        return len(mesh.pilot().sync_status())

    assert wait_until("four proxies", lambda: connected() >= 4)
