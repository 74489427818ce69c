"""IPv6 through both Envoys: ip6tables, a dual-stack mesh, and a proxy that has nothing but IPv6."""

from __future__ import annotations

import subprocess

import pytest
from control_plane import wait_until
from pods import answer

from conftest import VIP6, service, strict

pytestmark = [pytest.mark.capture, pytest.mark.timeout(180)]

CLIENT, SIX = "spiffe://cluster.local/ns/default/sa/client", "spiffe://cluster.local/ns/default/sa/six"


def test_the_ipv6_address_of_a_dual_stack_service_leads_through_both_proxies(mesh):
    got = wait_until("the service answers", lambda: answer(mesh.client.curl(f"http://[{VIP6}]/")))
    assert (got["workload"], f"URI={CLIENT}" in got["headers"]["x-forwarded-client-cert"]) == ("echo", True)
    assert mesh.client.converse(VIP6, 9000, "me")[1:] == ["welcome me"]


def test_a_pod_that_is_dialled_by_its_ipv6_address_is_captured_on_both_sides(mesh):
    with mesh.control.applied(strict(app="echo")):

        def plain() -> subprocess.CompletedProcess[str]:
            url = f"http://[{mesh.echo.address6}]:8080/"
            return subprocess.run(
                ["curl", "-gsS", "-m", "3", "-w", "\n%{http_code}", url], capture_output=True, text=True, check=False
            )

        wait_until("plaintext of the host is refused over IPv6", lambda: plain().returncode != 0)
    got = wait_until("the host is let in", lambda: answer(plain()))
    assert (got["client"], "x-forwarded-client-cert" in got["headers"]) == ("::6", False)


def test_the_loopback_address_is_left_alone(mesh):
    got = answer(mesh.echo.curl("http://[::1]:8080/"))
    assert (got["client"], "x-forwarded-client-cert" in got["headers"]) == ("::1", False)


def test_a_workload_of_ipv6_alone_is_called_and_calls(mesh):
    got = wait_until("six is reached", lambda: answer(mesh.client.curl("http://[fd96:77::12]/")))
    assert (got["workload"], got["client"]) == ("six", "::6")
    assert f"URI={CLIENT}" in got["headers"]["x-forwarded-client-cert"]
    back = wait_until("six reaches itself by its service", lambda: answer(mesh.six.curl("http://[fd96:77::12]/")))
    assert f"URI={SIX}" in back["headers"]["x-forwarded-client-cert"]
    assert mesh.six.converse("fd96:77::12", 9000, "me") == ["hello from six to ::6", "welcome me"]


def test_of_an_endpoint_with_both_addresses_the_one_that_answers_is_used(mesh):
    """The first address is nobody's: happy eyeballs go on to the other family, which becomes known after it."""
    ports = [{"name": "http", "port": 8080}]

    def part(family: str, address: str) -> dict:
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"eyes-{family.lower()}",
                "labels": {"kubernetes.io/service-name": "eyes"},
            },
            "addressType": family,
            "ports": ports,
            "endpoints": [{"addresses": [address], "targetRef": {"kind": "Pod", "name": "eyes-0"}}],
        }

    eyes = service(
        "eyes",
        {"name": "http", "port": 80, "targetPort": 8080},
        clusterIP="10.96.77.20",
        clusterIPs=["10.96.77.20", "fd96:77::20"],
        ipFamilies=["IPv4", "IPv6"],
    )
    first, second = part("IPv4", f"{mesh.network.subnet}.250"), part("IPv6", mesh.six.address6)
    with mesh.control.applied(eyes, first):
        wait_until("the first address is known", lambda: mesh.control.is_everywhere(first))
        with mesh.control.applied(second):
            for address in ("10.96.77.20", "[fd96:77::20]"):
                got = wait_until(f"{address} answers", lambda at=address: answer(mesh.client.curl(f"http://{at}/")))
                assert got["workload"] == "six"
