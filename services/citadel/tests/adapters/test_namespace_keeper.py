"""The public root and key pairs of service accounts in the namespaces of a real config API."""

import asyncio
import base64
from dataclasses import replace

import pytest
from citadel.adapters import namespace_keeper
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from meshcore.testing import openssl
from meshcore.testing.authorities import crl_pem, make_authority
from meshcore.testing.galley import TOKEN
from meshcore.testing.kubeconfig import write_kubeconfig

FRONT = "spiffe://cluster.local/ns/shop/sa/front"


@pytest.fixture
def settings(tmp_path, galley, monkeypatch):
    monkeypatch.setattr(namespace_keeper, "LOOK_EVERY", 0.2)
    path = write_kubeconfig(tmp_path / "kubeconfig", galley.url, galley.ca.root_pem, TOKEN)
    return {"kubeconfig": path, "keep_namespaces": True, "key_and_cert_secrets": True}


@pytest.fixture
async def citadel(identity_directory, issuer, start_citadel, settings):
    async with start_citadel(identity_directory, issuer, **settings) as citadel, asyncio.timeout(60):
        yield citadel


class Api:
    def __init__(self, client):
        self.client = client

    async def create(self, path, name, **more):
        metadata = {"name": name} | more.pop("metadata", {})
        answer = await self.client.post(path, json={"metadata": metadata} | more)
        assert answer.status_code in (201, 409), answer.text

    async def until(self, path, condition):
        async with asyncio.timeout(60):
            while True:
                answer = await self.client.get(path)
                found = answer.json() if answer.is_success else None
                if condition(found):
                    return found
                await asyncio.sleep(0.05)


@pytest.fixture
async def api(galley):
    async with galley.client() as client:
        yield Api(client)


MAP = "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert"
SECRET = "/api/v1/namespaces/shop/secrets/istio.front"
ACCOUNTS = "/api/v1/namespaces/shop/serviceaccounts"


async def labelled(api):
    metadata = {"labels": {"ca.istio.io/override": "true"}}
    await api.create("/api/v1/namespaces", "shop", metadata=metadata)
    await api.create(ACCOUNTS, "front")


async def test_the_public_root_is_in_every_namespace_and_is_restored(citadel, api):
    root = (citadel.directory / "root-cert.pem").read_text()
    await api.create("/api/v1/namespaces", "shop")

    def has_root(found):
        return found is not None and found["data"].get("root-cert.pem") == root

    found = await api.until(MAP, has_root)
    edited = found | {"data": {"root-cert.pem": "edited", "mine": "kept"}}
    assert (await api.client.put(MAP, json=edited)).is_success
    restored = await api.until(MAP, has_root)
    assert restored["data"]["mine"] == "kept"
    assert (await api.client.delete(MAP)).is_success
    await api.until(MAP, has_root)
    kube = await api.client.get("/api/v1/namespaces/kube-system/configmaps/istio-ca-root-cert")
    assert kube.status_code == 404


async def test_revocation_lists_are_there_while_there_are_any(in_force, citadel, api):
    await api.create("/api/v1/namespaces", "shop")
    path = "/api/v1/namespaces/shop/configmaps/istio-ca-crl"
    lists = x509.load_pem_x509_crl(crl_pem(make_authority("root")))
    authority = in_force().current
    in_force().replace(replace(authority, revoked=(lists,)))
    found = await api.until(path, lambda one: one is not None)
    assert found["data"] == {"ca-crl.pem": lists.public_bytes(serialization.Encoding.PEM).decode()}
    in_force().replace(replace(authority, revoked=()))
    await api.until(path, lambda one: one is None)


async def test_a_service_account_of_a_labelled_namespace_has_a_key_pair(citadel, api):
    await labelled(api)
    await api.create("/api/v1/namespaces", "plain")
    found = await api.until(SECRET, lambda one: one is not None)
    assert found["type"] == "istio.io/key-and-cert"
    assert found["metadata"]["annotations"]["istio.io/service-account.name"] == "front"
    data = {name: base64.b64decode(content).decode() for name, content in found["data"].items()}
    assert set(data) == {"cert-chain.pem", "key.pem", "root-cert.pem"}
    openssl.accepts(data["cert-chain.pem"], data["key.pem"], data["root-cert.pem"])
    leaf = x509.load_pem_x509_certificate(data["cert-chain.pem"].encode())
    row = (await citadel.get(f"/api/v1/certificates/{leaf.serial_number:x}")).json()
    assert (row["identity"], row["proof"]) == (FRONT, "service-account")
    listed = (await api.client.get("/api/v1/namespaces/plain/secrets")).json()["items"]
    assert [one for one in listed if one["type"] == "istio.io/key-and-cert"] == []


async def test_what_is_deleted_or_broken_is_made_again_and_what_is_not_ours_is_left_alone(citadel, api):
    await labelled(api)
    foreign = {"type": "Opaque", "data": {"mine": base64.b64encode(b"kept").decode()}}
    await api.create("/api/v1/namespaces/shop/secrets", "istio.other", **foreign)
    await api.create(ACCOUNTS, "other")
    first = await api.until(SECRET, lambda one: one is not None)
    assert (await api.client.delete(SECRET)).is_success
    second = await api.until(SECRET, lambda one: one is not None)
    assert second["data"] != first["data"]
    broken = second | {"data": second["data"] | {"key.pem": first["data"]["key.pem"]}}
    assert (await api.client.put(SECRET, json=broken)).is_success
    third = await api.until(SECRET, lambda one: one["data"] != broken["data"])
    row = (await citadel.get(f"/api/v1/certificates/{serial(second):x}")).json()
    assert row["ended"] == f"{serial(third):032x}"
    kept = (await api.client.get("/api/v1/namespaces/shop/secrets/istio.other")).json()
    assert kept["data"] == foreign["data"]


def serial(secret):
    chain = base64.b64decode(secret["data"]["cert-chain.pem"])
    return x509.load_pem_x509_certificate(chain).serial_number


async def test_key_pairs_go_with_their_account_and_follow_another_root(in_force, citadel, api):
    await labelled(api)
    first = await api.until(SECRET, lambda one: one is not None)
    await citadel.post("/api/v1/ca/rotation", {"without": ["meshctl"]})
    root = base64.b64decode(first["data"]["root-cert.pem"]).decode()

    def follows(one):
        return base64.b64decode(one["data"]["root-cert.pem"]).decode() == in_force().current.bundle_pem != root

    await api.until(SECRET, follows)
    assert (await api.client.delete(f"{ACCOUNTS}/front")).is_success
    await api.until(SECRET, lambda one: one is None)
