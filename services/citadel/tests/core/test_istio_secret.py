"""Which Secret has the root of a mesh that comes from istiod, and what cannot be taken."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from citadel.core.istio_secret import root_of_istio
from cryptography.hazmat.primitives.asymmetric import rsa
from meshcore.errors import ErrorCode, MeshError
from meshcore.testing.authorities import make_authority

NOW = datetime.now(UTC)
ROOT, OTHER = make_authority("root", key=rsa.generate_private_key(65537, 2048)), make_authority("other")
FORMER = make_authority("root", key=ROOT.key, ttl=timedelta(days=30))
BELOW = make_authority("below", ROOT)
OLD = make_authority("old", not_before=NOW - timedelta(days=2), ttl=timedelta(days=1))


def secret(authority, **more):
    files = {"ca-cert.pem": authority.pem, "ca-key.pem": authority.key_pem, "cert-chain.pem": b""}
    files |= {name.replace("_", "."): content for name, content in more.items()}
    return {"data": {name: base64.b64encode(content).decode() for name, content in files.items()}}


GENERATED = secret(OTHER) | {"data": secret(OTHER)["data"] | {"istio-generated": ""}}


def test_istios_order_of_secrets():
    assert root_of_istio(None, None, True, NOW) is None
    for cacerts in (None, GENERATED, secret(BELOW)):
        found = root_of_istio(secret(ROOT), cacerts, True, NOW)
        assert (found.certificate, found.roots, found.intermediates) == (ROOT.certificate, (ROOT.certificate,), ())
        assert found.key.private_numbers() == ROOT.key.private_numbers()
    assert root_of_istio(None, GENERATED, True, NOW).certificate == OTHER.certificate


def test_a_root_of_before_its_renewal_is_no_other_root():
    held = secret(ROOT)
    held["data"]["root-cert.pem"] = base64.b64encode(FORMER.pem).decode()
    assert root_of_istio(held, None, False, NOW).roots == (ROOT.certificate,)


def with_roots(authority, *roots):
    held = secret(authority)
    held["data"]["root-cert.pem"] = base64.b64encode(b"".join(one.pem for one in roots)).decode()
    return held


def with_key_of(authority, other):
    held = secret(authority)
    held["data"]["ca-key.pem"] = secret(other)["data"]["ca-key.pem"]
    return held


@pytest.mark.parametrize(
    ("self_signed", "cacerts", "words"),
    [
        (None, GENERATED, "cacerts: holds a root that istiod has made"),
        (None, secret(BELOW), "cacerts: holds an authority of the operator's"),
        (with_roots(BELOW, ROOT), None, "istio-ca-secret: "),
        (with_roots(ROOT, ROOT, OTHER), None, "istio-ca-secret: it has roots besides its own"),
        (with_key_of(ROOT, OTHER), None, "istio-ca-secret: ca-key.pem: is not the key"),
        (secret(OLD), None, "istio-ca-secret: ca-cert.pem: a certificate is not valid now"),
        ({"data": {}}, None, "istio-ca-secret: "),
        ({"data": {"ca-cert.pem": "?"}}, None, "istio-ca-secret: its data are not base64"),
        ({}, None, "istio-ca-secret: "),
    ],
)
def test_what_cannot_be_taken_is_refused(self_signed, cacerts, words):
    with pytest.raises(MeshError) as refused:
        root_of_istio(self_signed, cacerts, False, NOW)
    assert refused.value.code is ErrorCode.FAILED_PRECONDITION
    assert refused.value.detail.startswith(words), refused.value.detail
    assert "PRIVATE" not in refused.value.detail
