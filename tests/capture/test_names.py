"""Names that the proxy looks up when a connection brings them; the address that was dialled is nobody's."""

from __future__ import annotations

import pytest
from control_plane import wait_until
from echo_server import Echo, Greeter, HttpServer, TcpServer, outside
from pilot.core.registry import Service
from pilot.core.registry.auto_addresses import give_addresses
from pods import answer

from conftest import VIP, istio

pytestmark = [pytest.mark.capture, pytest.mark.timeout(180)]

NOBODY = "10.203.0.9"


def test_names_below_a_wildcard_are_looked_up_by_host_and_by_server_name(mesh):
    with outside(HttpServer(("::", 0), Echo)) as http, outside(TcpServer(("::", 0), Greeter)) as tls:
        wild = istio(
            "ServiceEntry",
            "wild",
            hosts=["*.wild.example"],
            location="MESH_EXTERNAL",
            resolution="DYNAMIC_DNS",
            ports=[
                {"name": "http", "number": http, "protocol": "HTTP"},
                {"name": "tls", "number": tls, "protocol": "TLS"},
            ],
        )
        described = Service("*.wild.example", "default", "wild", kind="ServiceEntry", wants_address=True)
        ((given, _),) = give_addresses([described]).values()
        with mesh.control.applied(wild):
            for address in (given, NOBODY):
                wait_until(
                    f"the host is reached by its name through {address}",
                    lambda at=address: answer(
                        mesh.client.curl(f"http://{at}:{http}/", "-H", f"Host: a.wild.example:{http}")
                    ),
                )
            wait_until(
                "the host is reached by the server name",
                lambda: mesh.client.say_hello(given, tls, "a.wild.example").startswith("hello from host"),
            )
            assert mesh.client.say_hello(given, tls, "b.other.example") == ""


def test_what_nobody_knows_is_looked_up_where_the_mesh_says_so(mesh):
    with outside(HttpServer(("::", 0), Echo)) as port:

        def got() -> dict:
            return answer(mesh.client.curl(f"http://{NOBODY}:{port}/", "-H", f"Host: b.other.example:{port}"))

        assert got() == {}
        with mesh.control.configured(outboundTrafficPolicy={"mode": "ALLOW_ANY_DYNAMIC_DNS"}):
            assert wait_until("the name leads to the host", got)["workload"] == "host"
            # a server that speaks first is not kept waiting by a proxy that looks for HTTP
            assert mesh.client.converse(VIP, 9000) == ["hello from echo to 127.0.0.6"]
        wait_until("it is passed through again", lambda: got() == {})
