"""A mesh that comes from istiod keeps its root: taken out of the Secret over a real config API, once."""

import base64
from datetime import timedelta

import pytest
from citadel.adapters.first_start import InitOptions, initialise
from citadel.adapters.init_command import init
from citadel.adapters.istio_root import IstioRoot
from citadel.core.members import Installation
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.errors import MeshError
from meshcore.testing.authorities import Authority, make_authority
from meshcore.testing.galley import TOKEN
from meshcore.testing.identity import TestCa, make_ca
from meshcore.testing.kubeconfig import write_kubeconfig

FRONT = "spiffe://cluster.local/ns/shop/sa/front"
KEY = ec.generate_private_key(ec.SECP256R1())
ISTIOD = make_authority("istiod")
SECRETS = "/api/v1/namespaces/istio-system/secrets"


@pytest.fixture
def options(tmp_path):
    def options(url, ca_pem, *, use_cacerts=False):
        path = write_kubeconfig(tmp_path / "kubeconfig", url, ca_pem, TOKEN)
        root = IstioRoot(path, "istio-system", use_cacerts)
        return InitOptions(tmp_path / "identity", Installation("cluster.local"), timedelta(days=365), istio_root=root)

    return options


def secret(name: str, authority: Authority, kind: str, **more: bytes):
    files = {
        "ca-cert.pem": authority.pem,
        "ca-key.pem": authority.key_pem,
        "cert-chain.pem": b"",
        "key.pem": b"",
    } | more
    data = {file: base64.b64encode(content).decode() for file, content in files.items()}
    return {"metadata": {"name": name}, "type": kind, "data": data}


@pytest.fixture
async def identity_directory(galley, options):
    async with galley.client() as client:
        await client.post("/api/v1/namespaces", json={"metadata": {"name": "istio-system"}})
        made = secret("cacerts", make_authority("of cacerts"), "istio.io/cacerts", **{"istio-generated": b""})
        assert (await client.post(SECRETS, json=made)).is_success
        made = secret("istio-ca-secret", ISTIOD, "istio.io/ca-root")
        assert (await client.post(SECRETS, json=made)).is_success
    chosen = options(galley.url, galley.ca.root_pem, use_cacerts=True)
    await initialise(chosen)
    galley.kill()
    assert await initialise(chosen) == (), "the Secret is asked for once only"
    return chosen.directory


async def test_the_root_of_istiod_is_gone_on_with_and_its_leaves_are_believed(citadel, sign):
    held = x509.load_pem_x509_certificates((citadel.directory / "root-cert.pem").read_bytes())
    assert held == [ISTIOD.certificate]
    of_istiod = TestCa(ISTIOD.key, ISTIOD.certificate).issue(FRONT)
    chain = await citadel.create(sign(KEY), identity=of_istiod)
    leaf = x509.load_pem_x509_certificate(chain[0].encode())
    leaf.verify_directly_issued_by(ISTIOD.certificate)
    shown = (await citadel.get("/api/v1/ca")).json()
    assert (shown["kind"], shown["signer"]["subject"]) == ("self-signed", ISTIOD.certificate.subject.rfc4514_string())
    assert "root taken over" in [one["action"] for one in (await citadel.get("/api/v1/ca/audit")).json()["items"]]
    key = ISTIOD.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert key not in (citadel.directory / "citadel" / "citadel.db").read_bytes(), "it is sealed"


async def test_when_nobody_can_say_whether_there_is_a_root_none_is_made(tmp_path, options):
    with pytest.raises(MeshError, match="istio-ca-secret: the Kubernetes API cannot be asked: ConnectError"):
        await initialise(options("https://127.0.0.1:1", make_ca().root_pem))
    assert not (tmp_path / "identity" / "root-cert.pem").exists()


def test_the_command_line_and_the_environment_say_where_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CITADEL_ISTIO_ROOT", str(tmp_path / "none"))
    assert init(["--dir", str(tmp_path / "identity")]) == 1
    assert f"the kubeconfig {tmp_path / 'none'} cannot be used" in capsys.readouterr().err
