"""A signer of a real Kubernetes API signs for Citadel, which may do there no more than it needs."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from api_server import CITADEL_TOKEN, ApiServer
from citadel.adapters.kubernetes_signers import ASK_TIMEOUT, KubernetesSigners
from citadel.core.caller import AuthenticatedCaller, Proof
from citadel.core.kubernetes_signer import SIGNING_REQUESTS
from citadel.core.refusal import SigningRefused
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.http.kubeconfig import Access
from meshcore.identity import SpiffeId
from meshcore.testing.authorities import make_authority
from meshcore.testing.signing_api import Signer, decides, signs_with

MESH, FAILING, FORBIDDEN = "signers.example/mesh", "signers.example/failing", "elsewhere.example/mesh"
ROOT = make_authority("signer's root")
SIGNERS: dict[str, Signer] = {MESH: signs_with(ROOT), FAILING: decides("Failed", "Policy", "not on Sundays")}
ROLES = "/apis/rbac.authorization.k8s.io/v1"
ME = SpiffeId("cluster.local", "shop", "front")
CALLER = AuthenticatedCaller(ME, Proof.TOKEN)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module", autouse=True)
def rights(api_server: ApiServer) -> None:
    """What docs/registration-authority.md asks for, and nothing else."""
    group = "certificates.k8s.io"
    rules = [
        {
            "apiGroups": [group],
            "resources": ["certificatesigningrequests"],
            "verbs": ["create", "get", "watch", "delete"],
        },
        {"apiGroups": [group], "resources": ["certificatesigningrequests/approval"], "verbs": ["update"]},
        {"apiGroups": [group], "resources": ["signers"], "resourceNames": ["signers.example/*"], "verbs": ["approve"]},
    ]
    role = {"metadata": {"name": "citadel"}, "rules": rules}
    who = {"kind": "User", "name": "citadel", "apiGroup": "rbac.authorization.k8s.io"}
    refers = {"kind": "ClusterRole", "name": "citadel", "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": "citadel"}, "roleRef": refers, "subjects": [who]}
    with api_server.client() as client:
        assert client.post(f"{ROLES}/clusterroles", json=role).status_code == 201
        assert client.post(f"{ROLES}/clusterrolebindings", json=binding).status_code == 201


@pytest.fixture(scope="module", autouse=True)
def controller(api_server: ApiServer) -> Iterator[None]:
    """Answers what is approved, as signers' controllers do."""
    ending = threading.Event()

    def control() -> None:
        with api_server.client() as client:
            while not ending.wait(0.05):
                for item in client.get(SIGNING_REQUESTS).json()["items"]:
                    answer(client, item)

    thread = threading.Thread(target=control)
    thread.start()
    yield
    ending.set()
    thread.join()


def answer(client: httpx.Client, item: dict) -> None:
    spec, conditions = item["spec"], item["status"].get("conditions", [])
    if [one["type"] for one in conditions] != ["Approved"] or item["status"].get("certificate"):
        return
    request = x509.load_pem_x509_csr(base64.b64decode(spec["request"]))
    # Servers before 1.22 drop the life that is asked for.
    found = SIGNERS[spec["signerName"]](request, {"expirationSeconds": 3600} | spec)
    item["status"] |= {**found, "conditions": [*conditions, *found.get("conditions", ())]}
    client.put(f"{SIGNING_REQUESTS}/{item['metadata']['name']}/status", json=item)


@pytest.fixture
async def signers(api_server: ApiServer, tmp_path: Path):
    kubeconfig = api_server.kubeconfig_of(CITADEL_TOKEN, tmp_path / "kubeconfig")
    async with Access.of_kubeconfig(kubeconfig).client(ASK_TIMEOUT) as client:
        yield KubernetesSigners(client, timedelta(seconds=60))


def request() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(ME))])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def left(api_server: ApiServer) -> list[dict]:
    with api_server.client() as client:
        return client.get(SIGNING_REQUESTS).json()["items"]


@pytest.mark.kubernetes
async def test_a_signer_of_the_server_signs_and_nothing_is_left_there(signers, api_server) -> None:
    chain = x509.load_pem_x509_certificates(await signers.sign(request(), CALLER, MESH, HOUR))
    assert chain[0].issuer == ROOT.certificate.subject
    assert left(api_server) == []


@pytest.mark.kubernetes
@pytest.mark.parametrize(
    ("signer", "words"),
    [(FAILING, "Policy: not on Sundays"), (FORBIDDEN, "403 Forbidden"), ("nobody", "422 Invalid")],
)
async def test_what_the_server_or_a_signer_refuses_is_said_and_nothing_is_left(
    signers, api_server, signer, words
) -> None:
    with pytest.raises(SigningRefused, match=words):
        await signers.sign(request(), CALLER, signer, HOUR)
    assert left(api_server) == []
