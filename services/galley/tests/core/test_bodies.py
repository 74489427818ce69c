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


def test_a_watch_may_ask_for_any_time() -> None:
    timeout = parse_read_options({"timeoutSeconds": "9" * 30}).timeout
    assert timeout is not None
    assert timeout.days > 300
