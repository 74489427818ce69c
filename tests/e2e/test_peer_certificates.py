"""Who may speak mTLS to a workload: only who shows a certificate of the mesh, in whichever mode (attacks 8 and 26)."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from mesh import ROWS, Mesh, wait_until
from meshcore.testing.identity import make_ca, write_identity

LEDGER = "spiffe://cluster.local/ns/books/sa/ledger"
Offer = Callable[[ssl.SSLContext, Path, Mesh], None]


def nothing(context: ssl.SSLContext, folder: Path, mesh: Mesh) -> None:
    """No certificate at all."""


def of_a_stranger(context: ssl.SSLContext, folder: Path, mesh: Mesh) -> None:
    """The right name, vouched for by somebody else."""
    _load(context, write_identity(folder / "stranger", make_ca().issue(LEDGER)))


def expired_of_a_stranger(context: ssl.SSLContext, folder: Path, mesh: Mesh) -> None:
    begin = datetime.now(UTC) - timedelta(days=2)
    _load(context, write_identity(folder / "old", make_ca().issue(LEDGER, not_before=begin)))


def of_the_mesh(context: ssl.SSLContext, folder: Path, mesh: Mesh) -> None:
    _load(context, Path(mesh.layout.identities) / "meshctl")


def _load(context: ssl.SSLContext, directory: Path) -> None:
    context.load_cert_chain(directory / "cert-chain.pem", directory / "key.pem")


def spoken(mesh: Mesh, folder: Path, offer: Offer, alpn: list[str], port: int = 9080, **limits: Any) -> str:
    """What the ledger's proxy answers to one request; empty when it does not."""
    context = ssl.create_default_context(cafile=mesh.layout.root_certificate)
    context.check_hostname, context.verify_mode = False, ssl.CERT_REQUIRED
    context.set_alpn_protocols(alpn)
    for name, value in limits.items():
        setattr(context, name, value)
    offer(context, folder, mesh)
    number = [workload.name for workload in ROWS.workloads].index("ledger") + 1
    try:
        with (
            socket.create_connection((mesh.stack.proxy(number), port), timeout=60) as plain,
            context.wrap_socket(
                plain, server_hostname="outbound_.9080_._.ledger.books.svc.cluster.local"
            ) as connection,
        ):
            connection.sendall(b"GET / HTTP/1.1\r\nhost: ledger.books\r\nconnection: close\r\n\r\n")
            answer = b""
            while part := connection.recv(65536):
                answer += part
    except (ssl.SSLError, ConnectionError):
        return ""
    return answer.decode()


@contextmanager
def mtls(mesh: Mesh, mode: str) -> Iterator[None]:
    metadata = {"name": "certificates", "namespace": "books"}
    policy = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata}
    mesh.converged(mesh.change([{**policy, "spec": {"mtls": {"mode": mode}}}]))
    try:
        yield
    finally:
        mesh.converged(mesh.change([], delete=[policy]))


@pytest.mark.parametrize("mode", ["PERMISSIVE", "STRICT"])
@pytest.mark.parametrize("offer", [nothing, of_a_stranger, expired_of_a_stranger])
def test_attack_26_who_speaks_mesh_tls_without_a_certificate_of_the_mesh_gets_nowhere(
    mesh: Mesh, tmp_path: Path, offer: Offer, mode: str
) -> None:
    """No fall back to the rules for plaintext."""
    with mtls(mesh, mode):
        for alpn in (["istio"], ["istio-http/1.1"], ["istio-h2", "istio"]):
            assert spoken(mesh, tmp_path, offer, alpn) == ""


@pytest.mark.parametrize("mode", ["PERMISSIVE", "STRICT"])
def test_who_has_a_certificate_of_the_mesh_is_known_by_it(mesh: Mesh, tmp_path: Path, mode: str) -> None:
    with mtls(mesh, mode):
        answer = spoken(mesh, tmp_path, of_the_mesh, ["istio"])
        assert answer.startswith("HTTP/1.1 200"), answer
        saw = json.loads(answer.partition("\r\n\r\n")[2])
        assert saw["caller"] == "spiffe://cluster.local/ns/istio-system/sa/meshctl"


def test_tls_of_ones_own_is_not_the_mesh_s(mesh: Mesh, tmp_path: Path) -> None:
    """An HTTP port ends TLS of the mesh only; a port of bytes passes any other on to the application."""
    with mtls(mesh, "PERMISSIVE"):
        assert spoken(mesh, tmp_path, of_the_mesh, ["http/1.1"]) == ""


def test_tls_older_than_1_2_is_refused(mesh: Mesh, tmp_path: Path) -> None:
    with mtls(mesh, "STRICT"):
        new = {"minimum_version": ssl.TLSVersion.TLSv1_2, "maximum_version": ssl.TLSVersion.TLSv1_2}
        assert spoken(mesh, tmp_path, of_the_mesh, ["istio"], **new).startswith("HTTP/1.1 200")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old = spoken(mesh, tmp_path, of_the_mesh, ["istio"], maximum_version=ssl.TLSVersion.TLSv1_1)
        assert old == ""


def test_the_mesh_may_ask_for_tls_1_3(mesh: Mesh, tmp_path: Path) -> None:
    before = mesh.mesh_config()
    settings = {**yaml.safe_load(before["data"]["mesh"]), "meshMTLS": {"minProtocolVersion": "TLSV1_3"}}
    old = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    mesh.converged(mesh.change([{**before, "data": {**before["data"], "mesh": yaml.safe_dump(settings)}}]))
    try:
        wait_until("1.2 is refused", lambda: spoken(mesh, tmp_path, of_the_mesh, ["istio"], **old) == "")
        assert spoken(mesh, tmp_path, of_the_mesh, ["istio"]).startswith("HTTP/1.1 200")
        assert mesh.get("http://ledger.books:9080/").status == 200, "proxies among themselves"
    finally:
        mesh.converged(mesh.change([before]))
    wait_until("1.2 is taken", lambda: spoken(mesh, tmp_path, of_the_mesh, ["istio"], **old).startswith("HTTP/1.1 200"))
