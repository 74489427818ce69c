import hashlib
import json
from base64 import urlsafe_b64decode
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.errors import MeshError
from meshcore.model.load import parse_object
from pilot.core.issuer_keys import (
    PLACEHOLDER,
    PLACEHOLDER_SENTENCE,
    IssuerKeys,
    KeyFetching,
    KeySource,
    fetched_keys,
    inline_keys,
)
from pilot.core.snapshot import MeshSnapshot
from pilot.core.status import key_rows

ONE, TWO = KeySource("bank.test", "http://bank.test/keys"), KeySource("https://mint.test", "")
RSA = {"kty": "RSA", "kid": "b", "n": "w" * 342, "e": "AQAB"}
EC = {"kid": "a", **{name: json.loads(PLACEHOLDER)["keys"][0][name] for name in ("kty", "crv", "x", "y")}}


def test_the_placeholder_is_a_point_of_the_curve_that_came_from_a_text():
    key = json.loads(PLACEHOLDER)["keys"][0]
    x, y = (int.from_bytes(urlsafe_b64decode(key[name] + "=")) for name in ("x", "y"))
    assert x == int.from_bytes(hashlib.sha256(PLACEHOLDER_SENTENCE.encode()).digest())
    assert ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key().key_size == 256


def test_fetched_keys_have_one_order_and_no_private_part():
    made = fetched_keys(json.dumps({"keys": [{**RSA, "d": "secret", "p": "secret"}, EC]}))
    assert json.loads(made) == {"keys": [EC, RSA]}
    assert made == fetched_keys(json.dumps({"keys": [EC, RSA]}).encode())


def test_a_symmetric_key_that_anybody_can_fetch_is_no_key():
    made = fetched_keys(json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0"}, EC]}))
    assert json.loads(made) == {"keys": [EC]}


@pytest.mark.parametrize(
    "document",
    [
        b"<html>not found</html>",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [7, null]}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
        b'{"kty": "RSA", "n": "AQAB", "e": "AQAB"}',
        b'{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}',
        b"[" * 100_000,
    ],
)
def test_a_document_without_keys_is_refused(document):
    with pytest.raises(MeshError):
        fetched_keys(document)


def test_keys_of_a_rule_stay_as_they_are_written():
    text = '{ "keys": [ {"kty":"oct","k":"c2VjcmV0"} ] }'
    assert inline_keys(text) == text


def test_a_lone_key_becomes_a_set_and_loses_its_private_part():
    assert json.loads(inline_keys(json.dumps({**EC, "d": "secret"}))) == {"keys": [EC]}


@pytest.mark.parametrize("text", ["", "no", "{}", '{"keys": []}', '{"keys": 1}'])
def test_a_rule_without_keys_in_its_text_is_refused(text):
    with pytest.raises(MeshError):
        inline_keys(text)


def test_a_failure_keeps_older_keys_and_a_success_forgets_the_failure():
    keys = IssuerKeys().known(ONE, "{1}").failing({ONE: "timed out"})
    assert keys.sets[ONE] == "{1}"
    assert keys.faults[ONE] == "timed out"
    after = keys.known(ONE, "{1}")
    assert not after.faults
    assert after.known(ONE, "{1}") is after, "nothing new is the same object: memos and pushes rely on it"
    assert after.failing({TWO: "x"}).failing({TWO: "x"}).without([ONE, TWO]).sets == {}


@pytest.mark.parametrize(
    ("text", "fetching"),
    [
        ("", KeyFetching.PILOT),
        ("false", KeyFetching.PILOT),
        ("istiod", KeyFetching.PILOT),
        ("hybrid", KeyFetching.HYBRID),
        ("TRUE", KeyFetching.ENVOY),
        ("envoy", KeyFetching.ENVOY),
    ],
)
def test_who_fetches_is_said_in_istios_words(text, fetching):
    assert KeyFetching.parse(text) is fetching


def test_another_word_for_who_fetches_is_refused():
    with pytest.raises(ValueError, match="maybe"):
        KeyFetching.parse("maybe")


def policy(name, *rules):
    metadata = {"name": name, "namespace": "shop"}
    spec = {"jwtRules": list(rules)}
    document = {"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": metadata}
    return parse_object({**document, "spec": spec})


def test_what_was_not_fetched_is_told_of_every_policy_that_needs_it():
    rule = {"issuer": ONE.issuer, "jwksUri": ONE.uri}
    snapshot = MeshSnapshot.of([policy("a", rule, rule), policy("b", rule), policy("c", {"issuer": TWO.issuer})])
    keys = IssuerKeys().known(TWO, "{}").failing({ONE: "status 404", TWO: "status 500"})
    rows = key_rows(snapshot.with_keys(keys))
    assert [(row["config"], row["message"]) for row in rows] == [
        ("RequestAuthentication/shop/a", "status 404; its tokens are refused"),
        ("RequestAuthentication/shop/b", "status 404; its tokens are refused"),
        ("RequestAuthentication/shop/c", "status 500; older ones are used"),
    ]
    assert rows[2]["resources"] == ["https://mint.test at https://mint.test/.well-known/openid-configuration"]


def test_wanted_are_the_keys_that_no_rule_holds_with_the_shortest_time_for_them():
    snapshot = MeshSnapshot.of(
        [
            policy("a", {"issuer": "bank.test", "jwksUri": ONE.uri}, {"issuer": "inline.test", "jwks": "{}"}),
            policy("b", {"issuer": "bank.test", "jwksUri": ONE.uri, "timeout": "2s"}, {"issuer": "https://mint.test"}),
        ]
    )
    assert dict(snapshot.key_sources()) == {ONE: timedelta(seconds=2), TWO: timedelta(seconds=5)}
