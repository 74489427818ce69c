"""A server captured by TPROXY: its application sees who really called."""

from __future__ import annotations

import subprocess

import pytest
from control_plane import wait_until
from pods import answer

from conftest import strict

pytestmark = [pytest.mark.capture, pytest.mark.timeout(180)]

CLIENT, KEEPER = "spiffe://cluster.local/ns/default/sa/client", "spiffe://cluster.local/ns/default/sa/keeper"
VIP, VIP6 = "10.96.77.11", "fd96:77::11"


def plain(url: str) -> subprocess.CompletedProcess[str]:
    """A call of the host, which is outside the mesh."""
    return subprocess.run(
        ["curl", "-gsS", "-m", "3", "-w", "\n%{http_code}", url], capture_output=True, text=True, check=False
    )


def test_a_caller_of_the_mesh_is_seen_by_its_address_and_its_identity(mesh):
    got = wait_until("the service answers", lambda: answer(mesh.client.curl(f"http://{VIP}/")))
    assert (got["workload"], got["client"]) == ("keeper", mesh.client.address)
    assert f"URI={CLIENT}" in got["headers"]["x-forwarded-client-cert"]
    assert mesh.client.converse(VIP, 9000, "me") == [f"hello from keeper to {mesh.client.address}", "welcome me"]


def test_over_ipv6_who_calls_is_seen_by_its_address_too(mesh):
    address = f"http://[{mesh.keeper.address6}]:8080/"
    got = wait_until("the host is let in", lambda: answer(plain(address)))
    assert (got["client"], "x-forwarded-client-cert" in got["headers"]) == (mesh.network.host6, False)
    got = wait_until("the pod answers", lambda: answer(mesh.client.curl(address)))
    assert (got["workload"], got["client"]) == ("keeper", mesh.client.address6)
    again = wait_until("the service answers itself", lambda: answer(mesh.keeper.curl(f"http://[{VIP6}]/")))
    assert again["workload"] == "keeper"
    with mesh.control.applied(strict(app="keeper")):
        wait_until("plaintext is refused", lambda: plain(address).returncode != 0)


def test_a_caller_from_outside_is_seen_by_its_address(mesh):
    got = wait_until("the host is let in", lambda: answer(plain(f"http://{mesh.keeper.address}:8080/")))
    assert (got["client"], "x-forwarded-client-cert" in got["headers"]) == (mesh.network.host, False)


def test_what_it_serves_is_held_to_the_mesh_s_policy(mesh):
    with mesh.control.applied(strict(app="keeper")):
        url = f"http://{mesh.keeper.address}:8080/"
        wait_until("plaintext is refused", lambda: plain(url).returncode != 0)
        got = wait_until("the service answers", lambda: answer(mesh.client.curl(f"http://{VIP}/")))
        assert got["client"] == mesh.client.address


def test_it_calls_others_as_every_captured_workload_does(mesh):
    got = wait_until("echo answers", lambda: answer(mesh.keeper.curl("http://10.96.77.10/")))
    assert f"URI={KEEPER}" in got["headers"]["x-forwarded-client-cert"]


def test_it_reaches_itself_by_its_service(mesh):
    got = wait_until("the service answers itself", lambda: answer(mesh.keeper.curl(f"http://{VIP}/")))
    assert got["workload"] == "keeper"
