"""Names of the mesh for an unchanged application: its questions to its name server are answered by the agent."""

from __future__ import annotations

import pytest
from control_plane import wait_until
from pods import answer

from conftest import istio

pytestmark = [pytest.mark.capture, pytest.mark.timeout(180)]

CLIENT = "spiffe://cluster.local/ns/default/sa/client"


@pytest.mark.parametrize("family", ["-4", "-6"])
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_service_is_found_by_its_name_and_reached_through_both_proxies(mesh, family, protocol):
    environment = ("env", "RES_OPTIONS=use-vc") if protocol == "tcp" else ("env",)
    url = "http://echo.default.svc.cluster.local/"
    found = wait_until("echo is found", lambda: answer(mesh.client.curl(url, family, through=environment)))
    assert (found["workload"], f"URI={CLIENT}" in found["headers"]["x-forwarded-client-cert"]) == ("echo", True)


def test_a_host_that_no_name_server_knows_has_an_address_in_the_mesh(mesh):
    entry = istio(
        "ServiceEntry",
        "named",
        hosts=["named.example"],
        location="MESH_INTERNAL",
        resolution="STATIC",
        ports=[{"name": "http", "number": 80, "protocol": "HTTP", "targetPort": 8080}],
        endpoints=[{"address": mesh.keeper.address, "serviceAccount": "keeper"}],
    )
    assert mesh.client.curl("http://named.example/").returncode != 0
    with mesh.control.applied(entry):
        found = wait_until("it is found", lambda: answer(mesh.client.curl("http://named.example/")))
        assert found["workload"] == "keeper"
    wait_until("it is forgotten", lambda: mesh.client.curl("http://named.example/").returncode != 0)
