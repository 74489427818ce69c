"""A mesh whose workloads have their certificates from a signer of a Kubernetes API: real agents, Envoys and mTLS."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cryptography import x509
from mesh import Mesh, client, destination_rule, route, service, virtual_service, wait_until, workload
from meshcore.testing.authorities import make_authority
from meshcore.testing.signing_api import SigningApi, signing_api, signs_with

ECHO = "http://echo:9080/"
DEFAULT, GOLD = "signers.example/mesh", "signers.example/gold"
ROOT, GOLD_ROOT = make_authority("signer's root"), make_authority("gold root")
BELOW = make_authority("below", ROOT)


@pytest.fixture(scope="module")
def api() -> Iterator[SigningApi]:
    with signing_api({DEFAULT: signs_with(BELOW), GOLD: signs_with(GOLD_ROOT)}) as api:
        yield api


@pytest.fixture(scope="module")
def mesh(api: SigningApi) -> Iterator[Mesh]:
    mesh = Mesh([client(), workload("echo-v1", app="echo")])
    root = mesh.home / "signer-root.pem"
    root.write_bytes(ROOT.pem)
    mesh.environment |= {
        "EXTERNAL_CA": "ISTIOD_RA_KUBERNETES_API",
        "K8S_SIGNER": DEFAULT,
        "CERT_SIGNER_DOMAIN": "signers.example",
        "CITADEL_EXTERNAL_CA_ROOT": str(root),
        "CITADEL_KUBECONFIG": str(api.write_kubeconfig(mesh.home / "api.kubeconfig")),
    }
    running = mesh.start()
    try:
        strict = {
            "apiVersion": "security.istio.io/v1",
            "kind": "PeerAuthentication",
            "metadata": {"name": "default", "namespace": "istio-system"},
            "spec": {"mtls": {"mode": "STRICT"}},
        }
        rule = destination_rule("echo", "v1")
        rule["spec"]["trafficPolicy"] = {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}
        running.apply(strict, service("echo"), rule, virtual_service("echo", [route("echo", "v1")]))
        wait_until("the client reaches echo", lambda: running.get(ECHO).good)
        yield running
    finally:
        running.close()


def shown(mesh: Mesh, name: str) -> x509.Certificate:
    """What the workload's Envoy has from its agent."""
    items = json.loads(mesh.run_here("proxy-config", "secret", name, "-o", "json").stdout)
    [pair] = [item["secret"]["tls_certificate"] for item in items if item["name"] == "default"]
    return x509.load_pem_x509_certificate(base64.b64decode(pair["certificate_chain"]["inline_bytes"]))


def rows(mesh: Mesh) -> dict[int, dict[str, Any]]:
    """Workloads' certificates in the ledger, by number."""
    items = json.loads(mesh.run_here("cert", "list", "-o", "json").stdout)["items"]
    return {int(item["serial"], 16): item for item in items if item["profile"] == "workload"}


def test_peers_talk_mtls_with_certificates_of_the_signer(mesh: Mesh, api: SigningApi) -> None:
    assert mesh.get(ECHO).good
    for name in ("client", "echo-v1"):
        leaf = shown(mesh, name)
        assert leaf.issuer == BELOW.certificate.subject
        account = name.removesuffix("-v1")
        assert rows(mesh)[leaf.serial_number]["identity"] == f"spiffe://cluster.local/ns/default/sa/{account}"
    assert len(api.created) == 2, "nobody renews because the first root is another's"
    assert api.objects == {}


def test_a_workload_that_names_its_signer_talks_to_those_of_the_other(mesh: Mesh, api: SigningApi) -> None:
    config = mesh.mesh_config()
    document = yaml.safe_load(config["data"]["mesh"])
    document["caCertificates"] = [{"pem": GOLD_ROOT.pem.decode(), "certSigners": [GOLD]}]
    mesh.apply(config | {"data": config["data"] | {"mesh": yaml.safe_dump(document)}})
    mesh.add(client("gold", proxy_env={"ISTIO_META_CERT_SIGNER": "gold"}))
    wait_until("the peers of the two roots talk", lambda: mesh.get(ECHO, via="gold").good)
    assert shown(mesh, "gold").issuer == GOLD_ROOT.certificate.subject
    assert [one["spec"]["signerName"] for one in api.created] == [DEFAULT, DEFAULT, GOLD]


def test_citadels_own_root_is_replaced_without_them(mesh: Mesh, api: SigningApi) -> None:
    """Nobody else has anything of it but the services."""
    before = {name: shown(mesh, name) for name in ("client", "echo-v1", "gold")}
    with mesh.traffic(ECHO, rate=40) as traffic:
        rotated = mesh.meshctl("ca", "rotate", "--timeout", "100", "--without", "meshctl")
        traffic.send_more(40)
    traffic.assert_no_failure()
    assert "the new root has taken the old one's place" in rotated.stdout
    assert {name: shown(mesh, name) for name in before} == before
    assert len(api.created) == len(before)
