"""PeerAuthentication for traffic that is captured: every port of the workload has a mode, served or not (attack 25)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from control_plane import wait_until

from conftest import strict

pytestmark = [pytest.mark.capture, pytest.mark.timeout(180)]

UNSAID = 8888
"""A port that no service names."""
INBOUND = 15006


def status(address: str, port: int, path: str = "") -> str:
    """Of a request in plaintext from the host, which has no certificate; 000 when the connection is refused."""
    command = ["curl", "-sS", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", f"http://{address}:{port}/{path}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def heard(address: str, port: int) -> bytes:
    """What a port of bytes says to who speaks first, as the proxy waits for."""
    script = f"""
import socket, sys
with socket.create_connection(("{address}", {port}), 20) as connection:
    connection.settimeout(20)
    connection.sendall(b"this is nobody of the mesh, who speaks first\\n")
    sys.stdout.buffer.write(connection.recv(100))
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60).stdout


@contextmanager
def unsaid_server(mesh) -> Iterator[None]:
    command = mesh.echo.inside(sys.executable, "-m", "http.server", str(UNSAID))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield
        finally:
            server.kill()


def test_attack_25_strict_refuses_plaintext_on_every_port(mesh):
    address = mesh.echo.address
    with unsaid_server(mesh):
        wait_until("the port that nobody named is reached", lambda: status(address, UNSAID) == "200")
        assert status(address, 8080) == "200"
        assert heard(address, 9000).startswith(b"hello")
        with mesh.control.applied(strict()):
            wait_until("plaintext is refused", lambda: status(address, 8080) == "000")
            assert [status(address, port) for port in (8080, 8081, UNSAID)] == ["000"] * 3
            assert heard(address, 9000) == b""
            # of the agent and of Envoy themselves: what a kubelet and Prometheus ask in plaintext
            assert status(address, 15021, "healthz/ready") == "200"
            assert status(address, 15020, "healthz/ready") == "200"
            assert status(address, 15090, "stats/prometheus") == "200"
        wait_until("plaintext is taken again", lambda: status(address, 8080) == "200")


def test_attack_25_the_port_of_the_proxy_itself_leads_nowhere(mesh):
    assert status(mesh.echo.address, INBOUND) == "000"
    with mesh.control.applied(strict()):
        wait_until("plaintext is refused", lambda: status(mesh.echo.address, 8080) == "000")
        assert status(mesh.echo.address, INBOUND) == "000"


def test_a_port_that_no_service_names_has_the_mode_that_a_policy_gives_it(mesh):
    policy = strict(app="echo")
    policy["spec"]["portLevelMtls"] = {str(UNSAID): {"mode": "PERMISSIVE"}}
    with unsaid_server(mesh), mesh.control.applied(policy):
        wait_until("plaintext is refused", lambda: status(mesh.echo.address, 8080) == "000")
        wait_until("the port itself takes it", lambda: status(mesh.echo.address, UNSAID) == "200")
        assert status(mesh.echo.address, 8080) == "000"
