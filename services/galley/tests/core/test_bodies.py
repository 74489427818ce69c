"""Bodies and queries that no honest client sends: a 400 that says why, never a 500."""

import pytest
from galley.core.kube_api import status
from galley.core.kube_api.bodies import decode_json, decode_object
from galley.core.kube_api.query import parse_read_options


@pytest.mark.parametrize("body", [b'{"a": "\\ud800"}', b'{"\\uDC00x": 1}', b'["\\ud83d \\ude00"]'])
def test_half_a_character_is_refused(body: bytes) -> None:
    with pytest.raises(status.StatusError, match="surrogate") as caught:
        decode_json(body)
    assert caught.value.http == 400


def test_a_whole_pair_is_one_character() -> None:
    assert decode_json(b'{"a": "\\ud83d\\ude00"}').document == {"a": "\U0001f600"}


@pytest.mark.parametrize("body", [b'{"a": "\xed\xa0\x80"}', b"\xff\xfe{}", '{"a": "\\ud800"}'.encode("utf-16")])
def test_what_is_not_utf_8_is_refused(body: bytes) -> None:
    with pytest.raises(status.StatusError, match="not JSON") as caught:
        decode_json(body)
    assert caught.value.http == 400


def test_what_is_nested_too_deeply_is_refused_by_the_name_of_its_field() -> None:
    def nested(levels: int) -> bytes:
        return b'{"spec": {"http": [{"match": ' + b"[" * levels + b"]" * levels + b"}]}}"

    assert decode_json(nested(96)).document["spec"]
    with pytest.raises(status.StatusError, match=r"nested too deeply: spec\.http\[0\]\.match: ") as caught:
        decode_json(nested(97))
    assert caught.value.http == 400


def test_a_yaml_alias_inside_itself_is_refused() -> None:
    with pytest.raises(status.StatusError, match="alias") as caught:
        decode_object("application/yaml", b"spec: &a {x: *a}\n")
    assert caught.value.http == 400


@pytest.mark.parametrize("number", ["1e400", "-1e999", "NaN", "Infinity", "1" * 5000])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(status.StatusError, match="the body is not JSON") as caught:
        decode_json(b'{"status": {"a": ' + number.encode() + b"}}")
    assert caught.value.http == 400
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", [".inf", ".nan", f"0x{'f' * 5000}", "18446744073709551616"])
def test_a_number_of_yaml_that_json_does_not_have_is_refused_by_the_name_of_its_field(value: str) -> None:
    with pytest.raises(status.StatusError, match=r"status\.a: ") as caught:
        decode_object("application/yaml", f"status:\n  a: {value}\n".encode())
    assert caught.value.http == 400


@pytest.mark.parametrize("name", ["limit", "resourceVersion", "timeoutSeconds"])
@pytest.mark.parametrize("number", ["1" * 5000, "99999999999999999999", "9223372036854775808", "\u0663", "-1", "1e3"])
def test_a_number_of_a_query_that_is_none_is_refused(name: str, number: str) -> None:
    with pytest.raises(status.StatusError, match=f"{name}: Invalid value") as caught:
        parse_read_options({name: number})
    assert (caught.value.http, len(str(caught.value)) < 300) == (400, True)


def test_a_watch_may_ask_for_any_time() -> None:
    timeout = parse_read_options({"timeoutSeconds": "9" * 18}).timeout
    assert timeout is not None
    assert timeout.days > 300
