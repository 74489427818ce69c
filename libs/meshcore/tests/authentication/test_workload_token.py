import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.authentication.proven import TokenRefused, Way
from meshcore.authentication.workload_token import TokenRules, identity_of_token

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
RULES = TokenRules("https://galley", ("istio-ca",), "cluster.local")


def jwk_of(key, kid: str, algorithm: str = "ES256") -> jwt.PyJWK:
    fields = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    return jwt.PyJWK(fields | {"kid": kid, "alg": algorithm})


KEYS = {"one": jwk_of(KEY, "one")}


def claims(**changes):
    return {
        "iss": "https://galley",
        "sub": "system:serviceaccount:shop:front",
        "aud": ["istio-ca", "other"],
        "exp": int((NOW + timedelta(hours=1)).timestamp()),
        "iat": int(NOW.timestamp()),
        "nbf": int(NOW.timestamp()),
    } | changes


def signed(body, key=KEY, kid="one", algorithm="ES256") -> str:
    return jwt.encode(body, key, algorithm, headers={"kid": kid})


def test_a_service_account_token_proves_its_identity():
    caller = identity_of_token(signed(claims()), KEYS, RULES, NOW)
    assert str(caller.identity) == "spiffe://cluster.local/ns/shop/sa/front"
    assert (caller.way, caller.ends) == (Way.TOKEN, NOW + timedelta(hours=1))
    assert identity_of_token(signed(claims(aud="istio-ca")), KEYS, RULES, NOW) == caller


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere"},
        {"aud": ["kubernetes"]},
        {"aud": None},
        {"aud": {"istio-ca": 1}},
        {"exp": int(NOW.timestamp())},
        {"exp": None},
        {"exp": True},
        {"exp": "2099"},
        {"nbf": int(NOW.timestamp()) + 61},
        {"iat": int(NOW.timestamp()) + 61},
        {"sub": "system:serviceaccount"},
        {"sub": "system:serviceaccount:shop"},
        {"sub": "system:serviceaccount:shop:front:extra"},
        {"sub": "system:node:shop:front"},
        {"sub": "system:serviceaccount::front"},
        {"sub": "system:serviceaccount:shop/sa/x:front"},
        {"sub": None},
        {"sub": 7},
    ],
    ids=str,
)
def test_a_token_that_says_anything_else_proves_nothing(changes):
    with pytest.raises(TokenRefused):
        identity_of_token(signed(claims(**changes)), KEYS, RULES, NOW)


def test_a_token_of_another_key_or_none_proves_nothing():
    other = ec.generate_private_key(ec.SECP256R1())
    public = KEY.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    bad = [
        signed(claims(), key=other),
        signed(claims(), kid="two"),
        signed(claims())[:-6] + "AAAAAA",
        jwt.encode(claims(), public, "HS256", headers={"kid": "one"}),
        jwt.encode(claims(), None, "none", headers={"kid": "one"}),
        jwt.encode(claims(), KEY, "ES256"),
        "a.b.c",
        "",
        "x" * 20000,
    ]
    for token in bad:
        with pytest.raises(TokenRefused):
            identity_of_token(token, KEYS, RULES, NOW)
