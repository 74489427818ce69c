import json
import urllib.request

import jwt
import pytest
from meshcore.testing.key_server import DISCOVERY, key_server
from meshcore.testing.tokens import TokenMint

FILE = """
keys: {bank: RS256, mint: ES256}
tokens:
  ann: {key: bank, claims: {iss: bank.test, sub: ann}}
  mia: {key: mint, claims: {iss: mint.test, sub: mia}}
  over: {key: bank, lasts: -5, claims: {sub: ann}}
  soon: {key: bank, from: 60, claims: {sub: ann}}
  unsigned: {key: bank, forged: none, claims: {sub: ann}}
  confused: {key: bank, forged: HS256, claims: {sub: ann}}
  tampered: {key: bank, forged: payload, claims: {sub: ann}}
"""


@pytest.fixture(scope="module")
def mint(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "tokens.yaml"
    path.write_text(FILE)
    return TokenMint(path)


def read(mint, name, key="bank"):
    keys = jwt.PyJWKSet.from_json(mint.key_set(key))
    return jwt.decode(mint.token(name), keys[key], algorithms=[keys[key].algorithm_name])


def test_a_token_has_its_claims_and_a_signature_that_the_key_set_verifies(mint):
    assert read(mint, "ann").items() >= {"iss": "bank.test", "sub": "ann"}.items()
    assert read(mint, "mia", "mint")["sub"] == "mia"
    assert mint.token("ann") == mint.token("ann")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("over", jwt.ExpiredSignatureError),
        ("soon", jwt.ImmatureSignatureError),
        ("unsigned", jwt.InvalidTokenError),
        ("confused", jwt.InvalidAlgorithmError),
        ("tampered", jwt.InvalidSignatureError),
    ],
)
def test_a_token_is_wrong_in_the_way_that_it_says(mint, name, wrong):
    with pytest.raises(wrong):
        read(mint, name)


def test_key_sets_are_served_and_discovered(mint):
    def get(url):
        with urllib.request.urlopen(url) as answer:
            return json.load(answer)

    with key_server(mint.key_set) as server:
        found = get(f"{server.url}/bank{DISCOVERY}")
        assert found["issuer"] == f"{server.url}/bank"
        assert get(found["jwks_uri"]) == json.loads(mint.key_set("bank"))
        assert server.asked == {f"/bank{DISCOVERY}": 1, "/bank": 1}
