"""Workloads come and go: registration by the sidecar alone, and leaving without a failed request."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from mesh import Mesh, client, service, wait_until, workload
from meshcore.model.kinds import NETWORKING, by_plural
from meshctl.adapters.control import send_order
from meshctl.adapters.peer_certificate import presented_certificate

PROBED, UNPROBED = 200, 201
"""Numbers of workloads that nobody is."""


def test_a_new_sidecar_makes_its_service_reachable(mesh: Mesh) -> None:
    mesh.apply(service("newcomer"))
    assert mesh.get("http://newcomer:9080/").status == 503
    mesh.add(workload("newcomer"))
    reply = wait_until("newcomer answers", lambda: reply if (reply := mesh.get("http://newcomer:9080/")).good else None)
    assert reply.body["caller"].endswith("/sa/client")


def test_a_registered_workload_is_a_workload_entry_and_one_endpoint(mesh: Mesh) -> None:
    mesh.apply(service("vm"))
    mesh.add(workload("vm", proxy_env={"MESHCORE_APP_PROBE": f"tcp://{mesh.stack.application(UNPROBED)}:9080"}))
    place = mesh.workload("vm")["address"]

    def found() -> list[dict[str, Any]]:
        listed = mesh.config.list_objects(by_plural(NETWORKING, "workloadentries"), "default")
        return [item for item in listed["items"] if item["spec"].get("address") == place]

    def health(item: dict[str, Any]) -> list[tuple[str, str]]:
        return [(one["type"], one["status"]) for one in item.get("status", {}).get("conditions", ())]

    (entry,) = wait_until("its entry is there", found)
    group = entry["metadata"]["annotations"]["istio.io/autoRegistrationGroup"]
    assert entry["metadata"]["name"] == f"{group}-{place}"
    assert entry["metadata"]["annotations"]["istio.io/workloadController"]
    assert entry["metadata"]["annotations"]["istio.io/connectedAt"].endswith("Z")
    owner = mesh.config.read(by_plural(NETWORKING, "workloadgroups"), "default", group)
    (reference,) = entry["metadata"]["ownerReferences"]
    assert (reference["kind"], reference["name"], reference["uid"]) == (
        "WorkloadGroup",
        group,
        owner["metadata"]["uid"],
    )
    wait_until("it is told to be unwell", lambda: health(found()[0]) == [("Healthy", "False")])
    with socket.create_server((mesh.stack.application(UNPROBED), 9080)):
        wait_until("it answers", lambda: mesh.get("http://vm:9080/").good)
        wait_until("it is told to be well", lambda: health(found()[0]) == [("Healthy", "True")])
        endpoints = mesh.run_here("proxy-config", "endpoints", "client.default", "-o", "json").output
        assert endpoints.count(f'"{place}"') == 1, "no second endpoint"
    send_order(mesh.layout.control_socket, {"op": "remove", "names": ["vm"]}, 60)
    wait_until("its entry is gone", lambda: not found())


def test_the_status_of_objects_tells_addresses(mesh: Mesh) -> None:
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "told", "namespace": "default"},
        "spec": {
            "hosts": ["told.example"],
            "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
            "resolution": "DNS",
        },
    }
    gateway = service("istio-ingressgateway", "istio-system")
    gateway["spec"] |= {"type": "LoadBalancer", "externalIPs": ["192.0.2.9"]}
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "told",
            "namespace": "default",
            "annotations": {"kubernetes.io/ingress.class": "istio"},
        },
        "spec": {"rules": [{"host": "told.example"}]},
    }
    mesh.apply(entry, gateway, ingress)

    def status(document: dict[str, Any]) -> dict[str, Any]:
        return dict(mesh.config.read_document(document).get("status") or {})

    given = wait_until("the given addresses", lambda: status(entry).get("addresses"))
    assert [(one["host"], one["value"].partition(".")[0].partition(":")[0]) for one in given] == [
        ("told.example", "240"),
        ("told.example", "2001"),
    ]
    reached = wait_until("where it is reached", lambda: status(ingress).get("loadBalancer", {}).get("ingress"))
    assert reached == [{"ip": "192.0.2.9"}]
    mesh.delete(entry, gateway, ingress)


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
