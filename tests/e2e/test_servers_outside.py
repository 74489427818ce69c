"""Servers outside of the mesh, and whom of them a proxy believes: names, versions, hosts, revoked certificates."""

from __future__ import annotations

from pathlib import Path

from mesh import Mesh, virtual_service, wait_until
from meshcore.testing.identity import TestCa
from tls_hosts import HOST, applied, bound, gateway, good, issue, outside, revoking, secret


def test_a_server_outside_must_have_one_of_the_names_of_its_entry(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    pair, file = issue(root, HOST), tmp_path / "root.pem"
    file.write_bytes(root.root_pem)
    cert = secret("outside", {"cert": pair.chain, "key": pair.key.pem}, "Opaque")
    server = gateway("outside", [HOST], {"mode": "SIMPLE", "credentialName": "outside"})
    tls = {"mode": "SIMPLE", "caCertificates": str(file)}
    entry, rule = outside(tls, str(mesh.workload("edge")["address"]), None)
    right, wrong = ({**entry, "spec": {**entry["spec"], "subjectAltNames": [name]}} for name in (HOST, "another.test"))
    with applied(mesh, cert, server, bound("outside", HOST), right, rule):
        assert wait_until("an answer from outside", lambda: good(mesh))["workload"] == "ledger"
        mesh.converged(mesh.change([wrong]))
        assert mesh.get(f"http://{HOST}/").status == 503
        mesh.converged(mesh.change([right]))
        assert wait_until("an answer from outside again", lambda: good(mesh))["workload"] == "ledger"


def test_a_server_that_speaks_tls_1_3_alone_is_reached(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    pair, file = issue(root, HOST), tmp_path / "root.pem"
    file.write_bytes(root.root_pem)
    cert = secret("outside-2", {"cert": pair.chain, "key": pair.key.pem}, "Opaque")
    newest = {"mode": "SIMPLE", "credentialName": "outside-2", "minProtocolVersion": "TLSV1_3"}
    tls = {"mode": "SIMPLE", "caCertificates": str(file)}
    address = str(mesh.workload("edge")["address"])
    with applied(mesh, cert, gateway("outside", [HOST], newest), bound("outside", HOST), *outside(tls, address, None)):
        assert wait_until("an answer from outside", lambda: good(mesh))["workload"] == "ledger"


def test_a_server_must_have_the_certificate_of_the_host_that_was_called(
    mesh: Mesh, root: TestCa, tmp_path: Path
) -> None:
    """Whatever the server name, the gateway shows the certificate of `HOST`."""
    pair, file = issue(root, HOST), tmp_path / "root.pem"
    file.write_bytes(root.root_pem)
    cert = secret("outside-3", {"cert": pair.chain, "key": pair.key.pem}, "Opaque")
    server = gateway("outside", ["*"], {"mode": "SIMPLE", "credentialName": "outside-3"})
    tls = {"mode": "SIMPLE", "sni": "", "caCertificates": str(file)}
    other = virtual_service("other.test", [{"route": [{"destination": {"host": HOST}}]}])
    address = str(mesh.workload("edge")["address"])
    with applied(mesh, cert, server, bound("outside", "*"), *outside(tls, address, None), other):
        assert wait_until("an answer from outside", lambda: good(mesh))["workload"] == "ledger"
        assert mesh.get("http://other.test/").status == 503


def test_a_server_whose_certificate_is_revoked_is_not_believed(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    pair, file, revoked = issue(root, HOST), tmp_path / "root.pem", tmp_path / "revoked.pem"
    file.write_bytes(root.root_pem)
    revoked.write_bytes(revoking(root, pair))
    cert = secret("revocable", {"cert": pair.chain, "key": pair.key.pem}, "Opaque")
    server = gateway("outside", [HOST], {"mode": "SIMPLE", "credentialName": "revocable"})
    tls = {"mode": "SIMPLE", "caCertificates": str(file), "caCrl": str(revoked)}
    address = str(mesh.workload("edge")["address"])
    with applied(mesh, cert, server, bound("outside", HOST), *outside(tls, address, None)):
        assert mesh.get(f"http://{HOST}/").status == 503
        revoked.write_bytes(revoking(root, issue(root, HOST)))  # another one
        assert wait_until("an answer from outside", lambda: good(mesh))["workload"] == "ledger"
