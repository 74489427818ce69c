"""An unchanged client and server in two pods: iptables sends their traffic through both Envoys."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer

import pytest
from control_plane import wait_until
from echo_server import Echo
from pods import answer

from conftest import CLOSED, VIP, strict

pytestmark = [pytest.mark.capture, pytest.mark.timeout(180)]

CLIENT, ECHO = "spiffe://cluster.local/ns/default/sa/client", "spiffe://cluster.local/ns/default/sa/echo"
PROXY_SOURCE = "127.0.0.6"


def test_a_call_to_the_service_passes_both_proxies_with_mutual_tls(mesh):
    got = wait_until("the service answers", lambda: answer(mesh.client.curl(f"http://{VIP}/")))
    assert f"URI={CLIENT}" in got["headers"]["x-forwarded-client-cert"]
    assert got["client"] == PROXY_SOURCE


def test_a_server_that_speaks_first_is_reached_over_tcp(mesh):
    heard = wait_until("the server is reached", lambda: mesh.client.converse(VIP, 9000, "me"))
    assert heard == ["hello from echo to 127.0.0.6", "welcome me"]


def test_a_port_that_is_known_for_servers_that_speak_first_needs_no_protocol_in_its_name(mesh):
    heard = wait_until("the server is reached", lambda: mesh.client.converse(VIP, 3306))
    assert heard == ["hello from echo to 127.0.0.6"]


def test_a_port_of_no_said_protocol_is_http_for_who_speaks_http_and_bytes_for_others(mesh):
    got = wait_until("the port answers HTTP", lambda: answer(mesh.client.curl(f"http://{VIP}:7000/")))
    assert f"URI={CLIENT}" in got["headers"]["x-forwarded-client-cert"]
    script = f"""
import socket
with socket.create_connection(("{VIP}", 7000), 5) as connection:
    connection.sendall(b"this is no HTTP\\r\\n")
    print(connection.makefile("rb").read().decode())
"""
    done = subprocess.run(mesh.client.inside(sys.executable, "-c", script), capture_output=True, text=True, timeout=60)
    # the application's own complaint, not that of a proxy that takes the bytes for a request
    assert "Bad request" in done.stdout, done
    assert "istio-envoy" not in done.stdout


def test_an_application_reaches_itself_through_its_own_service(mesh):
    got = wait_until("the service answers itself", lambda: answer(mesh.echo.curl(f"http://{VIP}/")))
    assert f"URI={ECHO}" in got["headers"]["x-forwarded-client-cert"]


def test_localhost_is_left_alone(mesh):
    got = answer(mesh.echo.curl("http://127.0.0.1:8080/"))
    assert got["client"] == "127.0.0.1"
    assert "x-forwarded-client-cert" not in got["headers"]


def test_a_plaintext_caller_is_let_in_while_permissive_and_refused_when_strict(mesh):
    def plain() -> subprocess.CompletedProcess[str]:
        url = f"http://{mesh.echo.address}:8080/"
        return subprocess.run(
            ["curl", "-sS", "-m", "3", "-w", "\n%{http_code}", url], capture_output=True, text=True, check=False
        )

    got = wait_until("the host reaches the pod", lambda: answer(plain()))
    # a client outside the mesh has no certificate, but its connection was captured on the way in
    assert "x-forwarded-client-cert" not in got["headers"]
    assert got["client"] == PROXY_SOURCE
    with mesh.control.applied(strict()):
        wait_until("plaintext is refused", lambda: plain().returncode != 0)
        # a connection of before that the proxy ends just now may cost a request
        got = wait_until("the service answers", lambda: answer(mesh.client.curl(f"http://{VIP}/")))
        assert f"URI={CLIENT}" in got["headers"]["x-forwarded-client-cert"]


def test_what_nobody_knows_is_passed_through_unless_a_sidecar_closes_the_mesh(mesh):
    outside = ThreadingHTTPServer((mesh.control.host, 0), Echo)
    with outside, ThreadPoolExecutor(1) as pool:
        pool.submit(outside.serve_forever)
        try:
            url = f"http://{mesh.control.host}:{outside.server_port}/"

            def status() -> str:
                return mesh.client.curl(url).stdout.rpartition("\n")[2]

            wait_until("the stranger is reached", lambda: status() == "200")
            with mesh.control.applied(CLOSED):
                wait_until("the stranger is out of reach", lambda: status() == "000")
                wait_until("the service answers", lambda: answer(mesh.client.curl(f"http://{VIP}/")))
            wait_until("the stranger is reached again", lambda: status() == "200")
        finally:
            outside.shutdown()


def test_attack_45_who_is_the_proxy_s_user_escapes_and_nobody_else(mesh):
    """What is documented as an escape: rules know the proxy by its user and group."""
    outside = ThreadingHTTPServer((mesh.control.host, 0), Echo)
    with outside, ThreadPoolExecutor(1) as pool:
        pool.submit(outside.serve_forever)
        try:
            url = f"http://{mesh.control.host}:{outside.server_port}/"

            def reached(user: int, *options: str) -> str:
                command = ["curl", "-sS", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", *options, url]
                who = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
                done = subprocess.run(
                    mesh.client.inside(*who, *command), capture_output=True, text=True, check=False, timeout=60
                )
                return done.stdout

            with mesh.control.applied(CLOSED):
                wait_until("the stranger is out of reach", lambda: reached(0) == "000")
                assert (reached(1336), reached(1337)) == ("000", "200")
        finally:
            outside.shutdown()


def test_the_agents_ports_are_not_captured(mesh):
    for port, path in ((15021, "healthz/ready"), (15020, "healthz/ready")):
        done = subprocess.run(
            [
                "curl",
                "-sS",
                "-m",
                "3",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                f"http://{mesh.echo.address}:{port}/{path}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "200", f"{port}: {done.stderr}"
