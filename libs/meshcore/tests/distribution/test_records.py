from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.distribution.digest import EMPTY_DIGEST, SetDigest
from meshcore.distribution.records import (
    Head,
    RecordError,
    canonical_json,
    decode_head,
    decode_record,
    encode_head,
    encode_record,
    make_record,
)
from meshcore.distribution.state_copy import StateCopy, decode_state, encode_state

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
KEY = "core.services.default.a"
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(derandomize=True, max_examples=200)
@given(document=st.dictionaries(st.text(max_size=8), json, max_size=5), revision=st.integers(1, 2**50))
def test_a_record_survives_its_message(document: dict, revision: int):
    record = make_record(KEY, "s1", revision, document, "00-ab-cd-01", NOW)
    assert decode_record(KEY, encode_record(record)) == record
    assert record.object == document


def test_the_same_document_has_one_spelling():
    assert canonical_json({"b": 1, "a": {"d": 1, "c": "é"}}) == '{"a":{"c":"é","d":1},"b":1}'.encode()


def test_a_reader_cannot_change_a_record():
    record = make_record(KEY, "s1", 1, {"spec": {"a": 1}}, "", NOW)
    record.object["spec"]["a"] = 2
    assert record.object == {"spec": {"a": 1}}


@pytest.mark.parametrize("spoil", [b"", b"{}", b"[1]", b"\xff", b'{"store":1}'])
def test_malformed_messages_are_refused(spoil: bytes):
    with pytest.raises(RecordError):
        decode_record(KEY, spoil)
    with pytest.raises(RecordError):
        decode_head(spoil)


def test_a_record_under_another_key_or_revision_is_refused():
    message = encode_record(make_record(KEY, "s1", 7, {"a": 1}, "", NOW))
    with pytest.raises(RecordError, match="digest"):
        decode_record("core.services.default.b", message)
    with pytest.raises(RecordError, match="digest"):
        decode_record(KEY, message.replace(b'"revision":7', b'"revision":8'))


def test_a_head_survives_its_message_and_must_follow_an_older_revision():
    head = Head("s1", 3, 9, 7, (KEY,), EMPTY_DIGEST, "", NOW)
    assert decode_head(encode_head(head)) == head
    empty = Head("s1", 1, 0, 0, (), EMPTY_DIGEST, "", NOW)
    assert decode_head(encode_head(empty)) == empty
    with pytest.raises(RecordError, match="cannot follow"):
        decode_head(encode_head(Head("s1", 3, 9, 9, (), EMPTY_DIGEST, "", NOW)))


@settings(derandomize=True, max_examples=100)
@given(st.lists(st.integers(0, 40), max_size=12), st.randoms(use_true_random=False))
def test_the_set_digest_knows_no_order(numbers: list[int], chance):
    digests = [make_record(KEY, "s", number + 1, {}, "", NOW).digest for number in numbers]
    one, two = SetDigest(), SetDigest()
    for digest in digests:
        one.add(digest)
    chance.shuffle(digests)
    for digest in digests:
        two.add(digest)
    assert str(one) == str(two)
    for digest in digests:
        one.remove(digest)
    assert str(one) == EMPTY_DIGEST


def test_a_state_survives_its_bytes_and_a_torn_one_is_refused():
    records = {f"core.services.default.s{number}": {"spec": {"n": number}} for number in range(20)}
    made = {key: make_record(key, "s1", 3, document, "", NOW) for key, document in records.items()}
    total = SetDigest()
    for record in made.values():
        total.add(record.digest)
    state = StateCopy("s1", 2, 3, str(total), made)
    data = encode_state(state)
    assert decode_state(data) == state
    for torn in (data[:-10], data.rsplit(b"\n", 1)[0], data[5:], b"", data.replace(b'"format":1', b'"format":9')):
        with pytest.raises(RecordError):
            decode_state(torn)
