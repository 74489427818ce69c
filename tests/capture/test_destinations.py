"""Where a captured connection goes when the address that was dialled says it."""

from __future__ import annotations

import pytest
from control_plane import wait_until
from echo_server import Echo, Greeter, HttpServer, TcpServer, outside
from pilot.core.registry import Service
from pilot.core.registry.auto_addresses import give_addresses
from pods import UNCAPTURED_INBOUND, answer

from conftest import CLOSED, UNCAPTURED_OUTBOUND, VIP, istio, service, strict

pytestmark = [pytest.mark.capture, pytest.mark.timeout(180)]

CLIENT = "spiffe://cluster.local/ns/default/sa/client"
TCP = {"name": "tcp", "port": 9000, "targetPort": 9000}


def greeting(mesh, address: str, port: int) -> str:
    return " ".join(mesh.client.converse(address, port)[:1])


def test_each_pod_of_a_headless_tcp_service_is_reached_by_its_own_address(mesh):
    headless = service("each", TCP, clusterIP="None", selector={"tier": "back"})
    # passed through in plaintext the connection would be refused
    with mesh.control.applied(headless, strict()):
        for pod in (mesh.echo, mesh.keeper):
            said = f"hello from {pod.name}"
            wait_until(f"{pod.name} answers", lambda at=pod.address, said=said: said in greeting(mesh, at, 9000))


def entry(name: str, **spec: object) -> dict:
    return istio("ServiceEntry", name, hosts=[f"{name}.example"], **spec)


def test_networks_of_one_entry_are_told_apart_by_the_address_that_was_dialled(mesh):
    networks = entry(
        "networks",
        addresses=["10.201.0.0/16"],
        ports=[{"name": "tcp", "number": 9000, "protocol": "TCP"}],
        resolution="STATIC",
        location="MESH_INTERNAL",
        endpoints=[{"address": mesh.keeper.address, "serviceAccount": "keeper"}],
    )

    def to(host: str) -> list[dict]:
        return [{"destination": {"host": f"{host}.default.svc.cluster.local", "port": {"number": 9000}}}]

    routes = istio(
        "VirtualService",
        "networks",
        hosts=["networks.example"],
        tcp=[
            {"match": [{"destinationSubnets": ["10.201.1.0/24"]}], "route": to("echo")},
            {"match": [{"destinationSubnets": ["10.201.2.7/32"]}], "route": to("six")},
            {"route": [{"destination": {"host": "networks.example"}}]},
        ],
    )
    with mesh.control.applied(networks, routes):
        for address, name in (("10.201.1.9", "echo"), ("10.201.2.7", "six"), ("10.201.2.8", "keeper")):
            said = f"hello from {name}"
            wait_until(f"{address} is {name}", lambda at=address, said=said: said in greeting(mesh, at, 9000))


def test_an_address_of_an_entry_is_the_entry_s_alone(mesh):
    virtual = entry(
        "virtual",
        addresses=["10.202.0.1"],
        location="MESH_INTERNAL",
        ports=[{"name": "tcp", "number": 6000, "protocol": "TCP", "targetPort": 9000}],
        resolution="STATIC",
        workloadSelector={"labels": {"app": "echo"}},
    )
    with mesh.control.applied(virtual, CLOSED):
        wait_until("the entry answers", lambda: "hello from echo" in greeting(mesh, "10.202.0.1", 6000))
        assert greeting(mesh, "10.202.0.2", 6000) == ""


def test_without_balancing_the_pod_that_was_dialled_answers(mesh):
    both = service(
        "both",
        {"name": "http", "port": 8080, "targetPort": 8080},
        clusterIP="10.96.77.30",
        selector={"tier": "back"},
    )
    rule = istio("DestinationRule", "both", host="both", trafficPolicy={"loadBalancer": {"simple": "PASSTHROUGH"}})
    # the rule first: what is waited for is also true of the service without it
    with mesh.control.applied(rule, both):
        for pod in (mesh.echo, mesh.keeper):

            def who(at: str = pod.address) -> dict:
                return answer(mesh.client.curl(f"http://{at}:8080/", "-H", "Host: both.default.svc.cluster.local"))

            wait_until(
                "the pod answers through the mesh", lambda: who().get("headers", {}).get("x-envoy-attempt-count")
            )
            assert {who()["workload"] for _ in range(8)} == {pod.name}


def test_with_resolution_none_a_known_host_is_passed_on_where_it_was_dialled(mesh):
    with outside(HttpServer(("::", 0), Echo)) as known, outside(HttpServer(("::", 0), Echo)) as unknown:
        direct = entry(
            "direct",
            location="MESH_EXTERNAL",
            ports=[{"name": "http", "number": known, "protocol": "HTTP"}],
            resolution="NONE",
        )

        def got(port: int, host: str) -> dict:
            return answer(mesh.client.curl(f"http://{mesh.network.host}:{port}/", "-H", f"Host: {host}"))

        with mesh.control.applied(direct, CLOSED):
            wait_until("the known host is reached", lambda: got(known, "direct.example"))
            wait_until("the rest is closed", lambda: not got(unknown, "direct.example"))
            assert not got(known, "stranger.example")


def test_a_given_address_is_dialled_as_any_other(mesh):
    with outside(TcpServer(("::", 0), Greeter)) as port:
        given = entry(
            "given",
            location="MESH_EXTERNAL",
            ports=[{"name": "tcp", "number": 7777, "protocol": "TCP", "targetPort": port}],
            resolution="STATIC",
            endpoints=[{"address": mesh.network.host}],
        )
        described = Service("given.example", "default", "given", kind="ServiceEntry", wants_address=True)
        (addresses,) = give_addresses([described]).values()
        with mesh.control.applied(given):
            for address in addresses:
                wait_until(
                    f"{address} answers", lambda at=address: greeting(mesh, at, 7777).startswith("hello from host")
                )


def test_ports_that_are_excluded_are_not_captured(mesh):
    with mesh.control.applied(strict(), CLOSED), outside(TcpServer(("::", UNCAPTURED_OUTBOUND), Greeter)):
        wait_until(
            "what nobody knows is closed", lambda: answer(mesh.client.curl(f"http://{mesh.network.host}:1/")) == {}
        )
        said = greeting(mesh, mesh.network.host, UNCAPTURED_OUTBOUND)
        assert said == f"hello from host to {mesh.client.address}"
    with mesh.control.applied(strict()):
        said = greeting(mesh, mesh.echo.address, UNCAPTURED_INBOUND)
        # out of the client's proxy as it is, and past the server's
        assert said == f"hello from echo to {mesh.client.address}"


def test_the_service_itself_is_there_all_the_time(mesh):
    got = wait_until("the service answers", lambda: answer(mesh.client.curl(f"http://{VIP}/")))
    assert f"URI={CLIENT}" in got["headers"]["x-forwarded-client-cert"]
