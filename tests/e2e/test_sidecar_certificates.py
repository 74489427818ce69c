"""TLS that sidecars end and begin themselves, with certificates of Secrets and of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mesh import Mesh, wait_until
from meshcore.testing.identity import TestCa, make_ca
from meshcore.tls import ServiceIdentity
from tls_hosts import HOST, NAMESPACE, Client, applied, bound, gateway, good, issue, outside, secret


def test_a_sidecar_ends_tls_of_its_own_where_it_takes_no_mesh_tls(mesh: Mesh, root: TestCa, tmp_path: Path) -> None:
    pair, before = issue(root, HOST), mesh.mesh_config()
    files = {"serverCertificate": tmp_path / "chain.pem", "privateKey": tmp_path / "key.pem"}
    files["serverCertificate"].write_bytes(pair.chain)
    files["privateKey"].write_bytes(pair.key.pem)
    general = yaml.safe_load(before["data"]["mesh"])
    config = {**general.get("defaultConfig", {}), "proxyMetadata": {"ENABLE_TLS_ON_SIDECAR_INGRESS": "true"}}
    text = yaml.safe_dump({**general, "defaultConfig": config})
    metadata = {"name": "own-tls", "namespace": "books"}
    port = {"number": 9080, "protocol": "HTTPS", "name": "https"}
    tls = {"mode": "SIMPLE", **{name: str(path) for name, path in files.items()}}
    ingress = {"port": port, "defaultEndpoint": "127.0.0.1:9080", "tls": tls}
    sidecar = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": metadata,
        "spec": {"workloadSelector": {"labels": {"app": "ledger"}}, "ingress": [ingress]},
    }
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": metadata,
        "spec": {"mtls": {"mode": "DISABLE"}},
    }
    client = Client(mesh, root)
    client.call(str(mesh.workload("ledger")["address"]), 9080)
    with applied(mesh, sidecar, policy):
        assert client.answer() is None, "by default such a block does nothing"
        mesh.converged(mesh.change([{**before, "data": {**before["data"], "mesh": text}}]))
        try:
            status, saw = wait_until("an answer over TLS", client.answer)
            assert (status, saw["workload"], client.shown()) == (200, "ledger", pair.chain)
        finally:
            mesh.converged(mesh.change([before]))


@pytest.fixture
def server_outside(mesh: Mesh, root: TestCa) -> Iterator[str]:
    """The gateway as a server that wants certificates of `root`; its address."""
    pair = issue(root, HOST)
    cert = secret("outside", {"cert": pair.chain, "key": pair.key.pem, "cacert": root.root_pem}, "Opaque")
    tls = {"mode": "MUTUAL", "credentialName": "outside"}
    with applied(mesh, cert, gateway("outside", [HOST], tls), bound("outside", HOST)):
        yield str(mesh.workload("edge")["address"])


def test_a_sidecar_originates_tls_with_a_secret_when_its_rule_selects_it(
    mesh: Mesh, root: TestCa, server_outside: str
) -> None:
    own = issue(root, "partner.test")
    cert = secret("partner", {"cert": own.chain, "key": own.key.pem, "cacert": root.root_pem}, "Opaque")
    cert["metadata"]["namespace"] = "default"
    tls = {"credentialName": "partner", "subjectAltNames": [HOST]}
    with applied(mesh, cert, *outside(tls, server_outside, {"app": "client"})):
        reply = wait_until("an answer from outside", lambda: good(mesh))
        assert reply["workload"] == "ledger"
    with applied(mesh, cert, *outside(tls, server_outside, None)):
        assert not mesh.get(f"http://{HOST}/").good, "without a selector no TLS is originated"


def test_a_sidecar_originates_tls_with_files(mesh: Mesh, root: TestCa, server_outside: str, tmp_path: Path) -> None:
    own, stranger = issue(root, "partner.test"), issue(make_ca("somebody else"), "partner.test")
    files = {name: tmp_path / f"{name}.pem" for name in ("chain", "key", "root")}
    for name, content in (("chain", stranger.chain), ("key", stranger.key.pem), ("root", root.root_pem)):
        files[name].write_bytes(content)
    tls = {"clientCertificate": str(files["chain"]), "privateKey": str(files["key"])}
    tls["caCertificates"] = str(files["root"])
    with applied(mesh, *outside(tls, server_outside, None)):
        assert not mesh.get(f"http://{HOST}/").good, "the server does not know this certificate"
        files["chain"].write_bytes(own.chain)
        files["key"].write_bytes(own.key.pem)
        assert wait_until("an answer from outside", lambda: good(mesh))["workload"] == "ledger"


def test_an_egress_gateway_originates_tls_with_a_secret(mesh: Mesh, root: TestCa, server_outside: str) -> None:
    """The client speaks plain HTTP; the gateway shows the certificate of a Secret in its own namespace."""
    own, stranger = issue(root, "partner.test"), issue(make_ca("somebody else"), "partner.test")

    def partner(pair: ServiceIdentity) -> dict[str, Any]:
        return secret("partner", {"cert": pair.chain, "key": pair.key.pem, "cacert": root.root_pem}, "Opaque")

    entry, rule = outside({"credentialName": "partner", "subjectAltNames": [HOST]}, server_outside, None)
    rule["metadata"]["namespace"] = NAMESPACE
    way_out = gateway("out", [HOST], {})
    way_out["spec"]["servers"] = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [HOST]}]
    routes = bound("out", HOST)
    routes["spec"] |= {
        "gateways": ["mesh", "out"],
        "http": [
            {
                "match": [{"gateways": ["mesh"]}],
                "route": [{"destination": {"host": "edge.edge.svc.cluster.local", "port": {"number": 80}}}],
            },
            {"match": [{"gateways": ["edge/out"]}], "route": [{"destination": {"host": HOST, "port": {"number": 80}}}]},
        ],
    }
    with applied(mesh, partner(stranger), entry, rule, way_out, routes):
        assert mesh.get(f"http://{HOST}/").status == 503, "the server does not know this certificate"
        mesh.converged(mesh.change([partner(own)]))  # a revision with nothing but a Secret has a receipt, too
        reply = good(mesh)
        assert reply is not None
        assert reply["workload"] == "ledger"
