"""Whatever stands in a rule or comes from an issuer: Envoy takes the listener, and knows every key that is sent."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from meshcore.errors import MeshError
from meshcore.model.load import parse_object
from meshcore.testing.envoy import validate
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import compile_resources
from pilot.core.issuer_keys import inline_keys
from pilot.core.json_web_keys import is_usable
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

NODE = {
    "id": "sidecar~10.1.0.2~a.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "LABELS": {"app": "a"}},
}


def public(key, algorithm):
    return jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)


RSA = public(rsa.generate_private_key(65537, 2048), "RS256")
EC = public(ec.generate_private_key(ec.SECP256R1()), "ES256")
GOOD = {
    "rsa": RSA,
    "rsa with its algorithm": {**RSA, "alg": "PS384", "use": "sig", "kid": "k"},
    "rsa of 1024 bits": public(rsa.generate_private_key(65537, 1024), "RS256"),
    "p-256": EC,
    "p-384": public(ec.generate_private_key(ec.SECP384R1()), "ES384"),
    "p-521": public(ec.generate_private_key(ec.SECP521R1()), "ES512"),
    "ed25519": public(ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
    "secret": {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
    "key id that is a number": {**EC, "kid": 7},
}
BAD = {
    "nothing": {},
    "no object": 7,
    "unknown kind": {"kty": "foo"},
    "kind that is a list": {"kty": ["RSA"]},
    "secp256k1": public(ec.generate_private_key(ec.SECP256K1()), "ES256K"),
    "off the curve": {**EC, "y": EC["x"]},
    "algorithm of another kind": {**EC, "alg": "RS256"},
    "algorithm of another curve": {**EC, "alg": "ES384"},
    "x25519": {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
    "short ed25519": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
    "no modulus": {"kty": "RSA", "x5c": ["abc"], "e": "AQAB"},
    "modulus that is no base64": {**RSA, "n": "!!!"},
    "padded exponent": {**RSA, "e": "AQAB=="},
    "exponent 1": {**RSA, "e": "AQ"},
    "exponent 0": {**RSA, "e": "AA"},
    "even modulus": {**RSA, "n": "A" * 342},
    "huge modulus": {**RSA, "n": "w" * 20_000},
    "secret that is no base64": {"kty": "oct", "k": "c2VjcmV0+/=="},
    "secret of another algorithm": {"kty": "oct", "k": "c2VjcmV0", "alg": "RS256"},
}


def told(**rule):
    """A real Envoy reads the listener of one rule; what Pilot says of it."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"selector": {"app": "a"}, "ports": [{"name": "http", "port": 80, "targetPort": 9080}]},
    }
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"jwtRules": [{"issuer": "i", **rule}]},
    }
    snapshot = MeshSnapshot.of([parse_object(service), parse_object(policy)])
    resources = compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection))
    validate(as_bootstrap(resources, NODE))
    return [item.code for item in resources.diagnostics]


@pytest.mark.parametrize("key", GOOD.values(), ids=GOOD)
def test_keys_that_envoy_knows_are_sent_as_they_are(key):
    text = json.dumps({"keys": [key]})
    assert is_usable(key)
    assert inline_keys(text) == text
    assert told(jwks=text) == []


@pytest.mark.parametrize("key", BAD.values(), ids=BAD)
def test_attack_37_a_key_that_envoy_would_refuse_the_listener_for_is_left_out(key):
    assert not is_usable(key)
    assert json.loads(inline_keys(json.dumps({"keys": [key, EC]}))) == {"keys": [EC]}
    assert told(jwks=json.dumps({"keys": [key]})) == ["jwks-not-usable"]


@pytest.mark.parametrize("extra", ['"a": NaN', '"a": Infinity', '"a": "\\ud800"'])
def test_attack_37_what_only_looks_like_json_is_none(extra):
    text = f'{{"keys": [{json.dumps(EC)}], {extra}}}'
    with pytest.raises(MeshError):
        inline_keys(text)
    assert told(jwks=text) == ["jwks-not-usable"]


@pytest.mark.parametrize("name", ["x\ny", "x\0y", "x\ry", ":path", "Host", "x y", "é"])
def test_attack_37_names_of_headers_that_cannot_be_stop_no_listener(name):
    keys = json.dumps({"keys": [EC]})
    assert told(jwks=keys, outputPayloadToHeader=name, fromHeaders=[{"name": name, "prefix": name}]) == []
