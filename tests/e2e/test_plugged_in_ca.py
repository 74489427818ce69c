"""An authority that is plugged in, in a whole mesh: traffic through its intermediate, and a peer that it revokes."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from mesh import Mesh, client, destination_rule, route, service, virtual_service, wait_until, workload
from meshcore.testing.authorities import Authority, crl_pem, make_authority

ECHO = "http://echo:9080/"
ROOT = make_authority("root")
FIRST, SECOND = (make_authority(name, ROOT) for name in ("first", "second"))


def plug_in(folder: Path, signer: Authority, *lists: bytes) -> None:
    (folder / "ca-key.pem").write_bytes(signer.key_pem)
    (folder / "root-cert.pem").write_bytes(ROOT.pem)
    (folder / "cert-chain.pem").write_bytes(signer.pem)
    (folder / "ca-cert.pem").write_bytes(signer.pem)
    if lists:
        (folder / "ca-crl.pem").write_bytes(b"".join(lists))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="cacerts-"))
    plug_in(made, FIRST)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def mesh(folder: Path) -> Iterator[Mesh]:
    mesh = Mesh([client(), client("other"), workload("echo-v1", app="echo")])
    mesh.environment |= {"ROOT_CA_DIR": str(folder)}
    running = mesh.start()
    try:
        rule = destination_rule("echo", "v1")
        rule["spec"]["trafficPolicy"] = {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}
        running.apply(service("echo"), rule, virtual_service("echo", [route("echo", "v1")]))
        for via in ("client", "other"):
            wait_until(f"{via} reaches echo", lambda via=via: running.get(ECHO, via=via).good)
        yield running
    finally:
        running.close()


def rows(mesh: Mesh, account: str) -> list[dict[str, str]]:
    identity = f"spiffe://cluster.local/ns/default/sa/{account}"
    return json.loads(mesh.run_here("cert", "list", "-i", identity, "-o", "json").stdout)["items"]


def authority(mesh: Mesh) -> dict[str, object]:
    found: dict[str, object] = json.loads(mesh.run_here("ca", "status", "-o", "json").stdout)["authority"]
    return found


def test_every_certificate_leads_through_the_intermediate(mesh: Mesh) -> None:
    shown = authority(mesh)
    assert (shown["kind"], shown["refusal"]) == ("plugged-in", "")
    public = x509.load_pem_x509_certificates(Path(mesh.layout.root_certificate).read_bytes())
    assert public == [ROOT.certificate]
    refused = mesh.run_here("ca", "rotate", check=False)
    assert refused.exit_code == 1
    assert "the authority is plugged in" in refused.stderr


def test_a_revoked_peer_is_refused_by_envoy_and_nobody_else_is(mesh: Mesh, folder: Path) -> None:
    """Attack 17."""
    [revoked] = rows(mesh, "other")
    plug_in(folder, FIRST, crl_pem(ROOT), crl_pem(FIRST, [int(revoked["serial"], 16)]))
    wait_until("the revoked client is refused", lambda: not mesh.get(ECHO, via="other").good)
    assert mesh.get(ECHO).good
    # Its own renewal is refused too, so it comes with its token again, or not at all.
    plug_in(folder, FIRST, crl_pem(ROOT), crl_pem(FIRST))
    wait_until("it is taken back", lambda: mesh.get(ECHO, via="other").good)


def test_another_intermediate_is_used_under_traffic(mesh: Mesh, folder: Path) -> None:
    with mesh.traffic(ECHO, rate=40) as traffic:
        (folder / "ca-crl.pem").unlink()
        plug_in(folder, SECOND)
        wait_until("the new intermediate signs", lambda: authority(mesh)["signer"]["subject"] == "CN=second")
        traffic.send_more(80)
    traffic.assert_no_failure()
