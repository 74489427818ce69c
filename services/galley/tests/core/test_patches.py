"""The three patch languages: what each does, and that none changes its arguments."""

import copy
from typing import Any

import pytest
from galley.core.patch.json_patch import MOST_COPIED, MOST_OPERATIONS, _Work, apply_json_patch
from galley.core.patch.merge import apply_merge_patch
from galley.core.patch.strategic import apply_strategic_patch
from hypothesis import given
from hypothesis import strategies as st
from meshcore.errors import ErrorCode, MeshError

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3)
)
OBJECTS = st.dictionaries(st.text("abc", max_size=2), DOCUMENTS, max_size=4)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # the examples of RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_by_its_specification(target: Any, patch: Any, result: Any) -> None:
    assert apply_merge_patch(target, patch) == result


@given(OBJECTS, OBJECTS)
def test_merge_patch_twice_is_once_and_arguments_stay(target: dict[str, Any], patch: dict[str, Any]) -> None:
    before = copy.deepcopy((target, patch))
    once = apply_merge_patch(target, patch)
    assert apply_merge_patch(once, patch) == once
    assert (target, patch) == before


@given(OBJECTS, OBJECTS)
def test_strategic_patch_of_plain_maps_is_a_merge_patch(target: dict[str, Any], patch: dict[str, Any]) -> None:
    def maps_only(value: Any) -> Any:
        return {key: maps_only(item) for key, item in value.items()} if isinstance(value, dict) else str(value)

    target, patch = maps_only(target), maps_only(patch)
    assert apply_strategic_patch(target, patch, {}) == apply_merge_patch(target, patch)


PORTS = {"spec.ports": "port"}
SERVICE = {"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}], "ips": ["x", "y"]}}


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"spec": {"ports": [{"port": 80, "name": "c"}]}}, [(80, "c"), (81, "b")]),
        ({"spec": {"ports": [{"port": 82, "name": "c"}]}}, [(82, "c"), (80, "a"), (81, "b")]),
        (
            {"spec": {"ports": [{"port": 82, "name": "c"}, {"port": 81, "name": "d"}]}},
            [(82, "c"), (80, "a"), (81, "d")],
        ),
        ({"spec": {"ports": [{"port": 80, "$patch": "delete"}]}}, [(81, "b")]),
        ({"spec": {"ports": [{"port": 9, "$patch": "delete"}]}}, [(80, "a"), (81, "b")]),
        ({"spec": {"ports": [{"port": 9, "name": "z"}, {"$patch": "replace"}]}}, [(9, "z")]),
        ({"spec": {"$setElementOrder/ports": [{"port": 81}, {"port": 80}]}}, [(81, "b"), (80, "a")]),
        ({"spec": {"ports": None}}, []),
        ({"spec": {"$patch": "replace", "ports": [{"port": 1, "name": "n"}]}}, [(1, "n")]),
        ({"spec": {"$retainKeys": ["ports"]}}, [(80, "a"), (81, "b")]),
    ],
)
def test_strategic_patch_of_ports(patch: dict[str, Any], result: list[tuple[int, str]]) -> None:
    patched = apply_strategic_patch(SERVICE, patch, PORTS)
    assert [(port["port"], port["name"]) for port in patched["spec"].get("ports", [])] == result
    assert "$" not in str(patched)


def test_strategic_patch_deletes_values_and_maps_and_retains_keys() -> None:
    assert apply_strategic_patch(SERVICE, {"spec": {"$deleteFromPrimitiveList/ips": ["x"]}}, PORTS)["spec"]["ips"] == [
        "y"
    ]
    assert apply_strategic_patch({"a": {"b": 1}}, {"a": {"$patch": "delete"}}, {}) == {}
    assert apply_strategic_patch({"a": {"b": 1, "c": 2}}, {"a": {"$retainKeys": ["c"]}}, {}) == {"a": {"c": 2}}
    assert apply_strategic_patch({"a": 1}, {"$patch": "delete"}, {}) == {}


@pytest.mark.parametrize(
    "patch",
    [
        {"$patch": "explode"},
        {"spec": {"ports": [{"name": "no key"}]}},
        {"spec": {"$setElementOrder/ports": "x"}},
        {"$retainKeys": 5},
        {"spec": {"ports": [5]}},
        {"spec": {"ports": [{"port": None}]}},
    ],
)
def test_strategic_patch_that_cannot_be_obeyed(patch: dict[str, Any]) -> None:
    with pytest.raises(MeshError):
        apply_strategic_patch(SERVICE, patch, PORTS)


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"$retainKeys": [{}, [1], "spec"]}, SERVICE),
        (
            {"spec": {"$deleteFromPrimitiveList/ips": [{"a": 1}, ["x"], "y"]}},
            {"spec": {**SERVICE["spec"], "ips": ["x"]}},
        ),
        ({"$deleteFromPrimitiveList/spec": [1], "$deleteFromPrimitiveList/absent": [1]}, SERVICE),
        ({"spec": {"ports": [5, {"$patch": "replace"}]}}, {"spec": {**SERVICE["spec"], "ports": [5]}}),
        ({"spec": {"$setElementOrder/ports": [{"port": [1]}, 5, {"port": 80}]}}, SERVICE),
    ],
)
def test_directives_about_values_of_any_type_do_not_break_a_strategic_patch(patch: Any, result: Any) -> None:
    assert apply_strategic_patch(SERVICE, patch, PORTS) == result


class Looked(int):
    """A port that counts how often it is compared."""

    times = 0
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        Looked.times += 1
        return int(self) == other


def test_a_strategic_patch_does_not_compare_each_item_with_each_other() -> None:
    count = 1000
    ports = [{"port": Looked(number)} for number in range(count)]
    target = {"spec": {"ports": [dict(port) for port in ports]}}
    order = [{"port": Looked(number)} for number in reversed(range(count))]
    Looked.times = 0
    patched = apply_strategic_patch(target, {"spec": {"ports": ports, "$setElementOrder/ports": order}}, PORTS)
    assert Looked.times < 20 * count
    assert [port["port"] for port in patched["spec"]["ports"]] == list(reversed(range(count)))


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ({"op": "add", "path": "/list/1", "value": 9}, {"list": [1, 9, 2], "a/b": 1}),
        ({"op": "add", "path": "/list/-", "value": 9}, {"list": [1, 2, 9], "a/b": 1}),
        ({"op": "remove", "path": "/list/0"}, {"list": [2], "a/b": 1}),
        ({"op": "replace", "path": "/a~1b", "value": 2}, {"list": [1, 2], "a/b": 2}),
        ({"op": "move", "from": "/a~1b", "path": "/c"}, {"list": [1, 2], "c": 1}),
        ({"op": "copy", "from": "/list/0", "path": "/c"}, {"list": [1, 2], "a/b": 1, "c": 1}),
        ({"op": "test", "path": "/list/0", "value": 1}, {"list": [1, 2], "a/b": 1}),
        ({"op": "replace", "path": "", "value": {}}, {}),
    ],
)
def test_json_patch(operation: dict[str, Any], result: Any) -> None:
    document = {"list": [1, 2], "a/b": 1}
    assert apply_json_patch(document, [operation]) == result
    assert document == {"list": [1, 2], "a/b": 1}


@pytest.mark.parametrize(
    "operation",
    [
        "add",
        {"op": "explode", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/a"},
        {"op": "add", "path": "/list/3", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/list/0/x", "value": 1},
        {"op": "remove", "path": "/x"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "test", "path": "/list/0", "value": 2},
        {"op": "move", "from": "/list", "path": "/list/0"},
    ],
)
def test_json_patch_that_cannot_be_applied(operation: Any) -> None:
    with pytest.raises(MeshError):
        apply_json_patch({"list": [1, 2]}, [operation])


@pytest.mark.parametrize("index", ["1" * 5000, "\u0660", "-1", "1e3"])
def test_what_is_no_index_of_a_list_is_refused(index: str) -> None:
    with pytest.raises(MeshError, match="is not an index") as caught:
        apply_json_patch({"list": [1, 2]}, [{"op": "remove", "path": f"/list/{index}"}])
    assert len(caught.value.detail) < 400


def test_the_operation_that_cannot_be_done_is_named() -> None:
    operations = [{"op": "add", "path": "/a", "value": 1}, {"op": "copy", "from": "/x", "path": "/b"}]
    with pytest.raises(MeshError, match=r"operation 2 \(copy from /x to /b\): there is no /x"):
        apply_json_patch({}, operations)


def test_copies_add_no_more_than_a_request_may_have() -> None:
    doubling = [
        {"op": "add", "path": "/a", "value": ["x" * 1000]},
        *[{"op": "copy", "from": "/a", "path": "/a/-"}] * 40,
    ]
    with pytest.raises(
        MeshError, match=r"operation 13 \(copy from /a to /a/-\).*exceeding the limit 3145728"
    ) as caught:
        apply_json_patch({}, doubling)
    assert caught.value.code is ErrorCode.INVALID
    grown = apply_json_patch({}, doubling[:12])
    assert 2_000_000 < len(str(grown)) < MOST_COPIED


def test_a_patch_has_no_more_than_ten_thousand_operations() -> None:
    operation = {"op": "add", "path": "/a", "value": 1}
    assert apply_json_patch({}, [operation] * MOST_OPERATIONS) == {"a": 1}
    with pytest.raises(MeshError, match="is 10000, got 10001") as caught:
        apply_json_patch({}, [operation] * (MOST_OPERATIONS + 1))
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_long_lists_are_not_shifted_without_end() -> None:
    first = {"op": "add", "path": "/a", "value": [0] * 100_000}
    with pytest.raises(MeshError, match="move more than"):
        apply_json_patch({}, [first, *[{"op": "add", "path": "/a/0", "value": 0}] * 3000])


def test_moving_copies_nothing() -> None:
    class Sealed(list[int]):
        def __iter__(self) -> Any:
            raise AssertionError("it was copied")

    document = {"a": 1}
    there = [{"op": "move", "from": "/a", "path": "/b"}, {"op": "move", "from": "/b", "path": "/c"}]
    work = _Work({"a": Sealed()})
    for operation in there:
        work.apply(operation)
    assert isinstance(work.document["c"], Sealed)
    assert (apply_json_patch(document, there), document) == ({"c": 1}, {"a": 1})
