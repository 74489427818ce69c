"""Workloads come and go: registration by the sidecar alone, and leaving without a failed request."""

from __future__ import annotations

import socket
from pathlib import Path

from mesh import Mesh, client, service, wait_until, workload
from meshctl.adapters.control import send_order
from meshctl.adapters.peer_certificate import presented_certificate

PROBED = 200
"""The number of a workload that nobody is."""


def test_a_new_sidecar_makes_its_service_reachable(mesh: Mesh) -> None:
    mesh.apply(service("newcomer"))
    assert mesh.get("http://newcomer:9080/").status == 503
    mesh.add(workload("newcomer"))
    reply = wait_until("newcomer answers", lambda: reply if (reply := mesh.get("http://newcomer:9080/")).good else None)
    assert reply.body["caller"].endswith("/sa/client")


def test_a_workload_whose_probe_fails_gets_no_request_until_it_succeeds_again(mesh: Mesh) -> None:
    mesh.apply(service("probed"))
    # what is probed is an address of this stack that the test opens and closes
    place = (mesh.stack.application(PROBED), 9080)
    probed = {"MESHCORE_APP_PROBE": f"tcp://{place[0]}:{place[1]}"}

    def answering() -> set[str]:
        return {str(reply.body["version"]) for reply in mesh.get_many("http://probed:9080/", 20) if reply.good}

    with socket.create_server(place):
        mesh.add(
            workload("probed-a", app="probed", version="a"),
            workload("probed-b", app="probed", version="b", proxy_env=probed),
        )
        wait_until("both answer", lambda: answering() == {"a", "b"})
    wait_until("the failing one is left out", lambda: answering() == {"a"})
    with socket.create_server(place):
        wait_until("both answer again", lambda: answering() == {"a", "b"})


def test_a_workload_that_ends_in_good_order_fails_no_request(mesh: Mesh) -> None:
    mesh.apply(service("pair"))
    mesh.add(workload("pair-a", app="pair", version="a"), workload("pair-b", app="pair", version="b"))

    def answering() -> set[str]:
        replies = mesh.get_many("http://pair:9080/", 10)
        return {str(reply.body["version"]) for reply in replies if reply.good}

    wait_until("both answer", lambda: answering() == {"a", "b"})
    with mesh.traffic("http://pair:9080/", rate=200) as traffic:
        send_order(mesh.layout.control_socket, {"op": "remove", "names": ["pair-a"]}, 60)
        traffic.send_more(200)
    traffic.assert_no_failure()
    assert {reply.body["version"] for reply in traffic.replies[-100:]} == {"b"}


def test_certificates_are_renewed_under_traffic_without_a_failed_request(mesh: Mesh) -> None:
    short = {"SECRET_TTL": "12s"}
    mesh.apply(service("brief"))
    mesh.add(workload("brief", proxy_env=short), client("brief-client", proxy_env=short))
    identity = Path(mesh.layout.identities) / "meshctl"
    address = mesh.workload("brief")["address"]
    wait_until("brief answers", lambda: mesh.get("http://brief:9080/", via="brief-client").good)

    def serial() -> str:
        return presented_certificate(address, 9080, identity).serial

    with mesh.traffic("http://brief:9080/", rate=100, via="brief-client") as traffic:
        seen = {serial()}
        wait_until("two renewals", lambda: seen.add(serial()) or len(seen) >= 3)
        traffic.send_more(100)
    traffic.assert_no_failure()
