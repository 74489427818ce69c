"""Sets of fields, their FieldsV1, and what differs between two values."""

import pytest
from galley.core.apply.differences import all_fields, differences, fields_of
from galley.core.apply.fields_v1 import decode_fields, encode_fields, field_text
from galley.core.apply.structure import PLAIN, Structure
from meshcore.errors import MeshError

SERVICE = Structure(
    list_keys={"spec.ports": {"port": None, "protocol": "TCP"}}, atomic_maps=frozenset({"spec.selector"})
)
PORT = 'k:{"port":80,"protocol":"TCP"}'


def test_a_plain_list_is_one_value() -> None:
    fields = fields_of({"spec": {"http": [{"route": []}], "hosts": ["a"]}}, PLAIN)
    assert fields == {("f:spec", "f:http"), ("f:spec", "f:hosts")}


def test_items_of_a_keyed_list_are_told_apart_and_keys_have_defaults() -> None:
    document = {"spec": {"ports": [{"port": 80, "name": "a"}], "selector": {"app": "x"}}}
    assert encode_fields(fields_of(document, SERVICE)) == {
        "f:spec": {"f:ports": {PORT: {".": {}, "f:name": {}, "f:port": {}}}, "f:selector": {}}
    }


def test_a_key_that_is_there_twice_makes_the_list_one_value() -> None:
    document = {"spec": {"ports": [{"port": 80}, {"port": 80, "protocol": "TCP"}]}}
    assert fields_of(document, SERVICE) == {("f:spec", "f:ports")}


def test_finalizers_are_a_set_in_every_kind() -> None:
    assert fields_of({"metadata": {"finalizers": ["a"]}}, PLAIN) == {("f:metadata", "f:finalizers", 'v:"a"')}


def test_an_empty_map_is_claimed() -> None:
    assert fields_of({"spec": {"tls": {}}}, PLAIN) == {("f:spec", "f:tls")}


def test_a_map_that_comes_is_added_with_everything_in_it() -> None:
    change = differences({}, {"metadata": {"labels": {"app": "x"}}}, PLAIN)
    assert encode_fields(change.added) == {"f:metadata": {".": {}, "f:labels": {".": {}, "f:app": {}}}}
    assert not change.modified | change.removed


def test_true_is_not_one() -> None:
    assert differences({"a": 1}, {"a": True}, PLAIN).modified == {("f:a",)}


@pytest.mark.parametrize("tree", [[], "x", {"spec": {}}, {"f:a": None}, {"f:a": {"b": {}}}])
def test_what_is_no_set_of_fields_is_refused(tree: object) -> None:
    with pytest.raises(MeshError):
        decode_fields(tree)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("f:spec", "f:hosts"), ".spec.hosts"),
        (("f:spec", "f:ports", PORT, "f:name"), '.spec.ports[port=80,protocol="TCP"].name'),
        (("f:metadata", "f:finalizers", 'v:"a"'), '.metadata.finalizers[="a"]'),
    ],
)
def test_fields_in_messages(path: tuple[str, ...], text: str) -> None:
    assert field_text(path) == text


def test_all_fields_name_the_maps_around_them() -> None:
    assert all_fields({"a": {"b": 1}}, PLAIN) == {("f:a",), ("f:a", "f:b")}
