"""Texts inside of config: CEL expressions, keys, URLs. What is wrong is told, and no text whatever crashes a check."""

import json

import pytest
from galley.core.kinds.request_authentication.jwks import has_private_keys, jwks_fault
from hypothesis import given
from hypothesis import strategies as st
from meshcore.cel_expression import evaluation_fault, expression_fault
from meshcore.model.url import is_absolute_url, url_fault
from meshcore.path_template import template_fault


@pytest.mark.parametrize(
    "expression",
    [
        "a",
        "response.code >= 400 && !(has(request.headers)) || 'x-a' in request.headers",
        "source.namespace == 'a' && [,] == {,}.items",
        'x.all(i, i > 0) ? \'a\' : "b\\"c"',
        "r'\\d+' in y || b'x' == z",
        "-1 - -2 < .5e3",
        "{'a': 1, 'b': [1, 2,]}.b[0]",
        "Message{field: 1} // a comment",
        "'''several\nlines'''",
        ".absolute.name(0x1Fu)",
    ],
)
def test_expressions_of_cel(expression: str) -> None:
    assert expression_fault(expression) is None


@pytest.mark.parametrize(
    "expression",
    [
        *("", "a = 1", "a &&", "(a", "a)", "a b", "a..b", "f(a,)", "'open", "a ? b", "while", "1 + + 2", "a.in"),
        *("has(a)", "has(a['b'])", "a.all(1, x)", "a.?b", "a[?0]", "'\\q'", "`a`", "a.true", "1.a{}", ".true"),
        *("99999999999999999999", "(" * 500),
    ],
)
def test_what_is_no_expression_of_cel(expression: str) -> None:
    assert expression_fault(expression)


@pytest.mark.parametrize(
    "expression",
    [
        *("[1].exists(x, x > 0)", "a.all(x, x)", "nope(1)", "a.nope()", "a.matches('[')", "matches(a, b) ||"),
        *("string(1)", "int(1, 2)", "'a'.contains()", "getHours(a)", "size()", "'a'.lowerAscii()"),
    ],
)
def test_what_envoy_does_not_evaluate(expression: str) -> None:
    assert evaluation_fault(expression)


@pytest.mark.parametrize(
    "expression",
    [
        *("a.contains('(') && contains(a, b)", "size([1, 2]) > '),'.size()", "re.capture(a, '[a-z]+')", "has(a.b)"),
        *("request.time.getHours('UTC') > 1", "int(duration('1s')) == 1", "a.matches('^x$')"),
    ],
)
def test_what_envoy_evaluates(expression: str) -> None:
    assert evaluation_fault(expression) is None


@given(st.text(alphabet="ab1.(){}[]?:,&|=!<>-+'\" \\"))
def test_any_text_has_an_answer(text: str) -> None:
    expression_fault(text)


@given(st.text())
def test_any_text_may_be_a_url_or_keys(text: str) -> None:
    url_fault(text, ("http",))
    is_absolute_url(text)
    template_fault(text)
    if jwks_fault(text) is None:
        has_private_keys(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["keys", "kty", "n", "e", "x"]), inner),
    )
)
def test_any_json_may_be_keys(document: object) -> None:
    text = json.dumps(document)
    if jwks_fault(text) is None:
        has_private_keys(text)


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"kty": "RSA", "n": "AQAB", "e": "AQAB"}, False),
        (
            {
                "keys": [
                    {"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
                    {"kty": "OKP", "crv": "Ed25519", "x": "A"},
                ]
            },
            False,
        ),
        ({"kty": "RSA", "n": "not base64 url", "e": "AQAB"}, True),
        ({"kty": "DSA"}, True),
        ({"keys": {}}, True),
        ([], True),
    ],
)
def test_keys(keys: object, fault: bool) -> None:
    assert (jwks_fault(json.dumps(keys)) is not None) is fault


@pytest.mark.parametrize("key", [{"kty": "oct", "k": "AQAB"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"}])
def test_keys_that_give_a_secret_away(key: dict[str, str]) -> None:
    assert has_private_keys(json.dumps({"keys": [key]}))


@pytest.mark.parametrize("url", ["http://a", "https://a.b:8080/c?d#e", "https://[::1]:80/", "http://a/%20"])
def test_urls(url: str) -> None:
    assert url_fault(url, ("http", "https")) is None


@pytest.mark.parametrize("url", ["", "a", "ftp://a", "http://a:port", "http://a b", "http://a/%zz", "127.0.0.1:80/a"])
def test_what_is_no_url(url: str) -> None:
    assert url_fault(url, ("http", "https"))
