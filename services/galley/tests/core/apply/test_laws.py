"""Laws of server-side apply, for any objects and any order of managers."""

import json
from copy import deepcopy
from typing import Any

from galley.core.apply.differences import all_fields, differences, fields_of
from galley.core.apply.documents import with_owners, with_updated
from galley.core.apply.fields_v1 import decode_fields, encode_all, encode_fields
from galley.core.apply.managers import dump_managed_fields, parse_managed_fields
from galley.core.apply.merging import merge, without
from galley.core.apply.ownership import (
    Manager,
    Ownership,
    apply_configuration,
    ownable,
    owners_after_apply,
    owners_after_update,
)
from galley.core.apply.structure import Structure
from hypothesis import given, settings
from hypothesis import strategies as st

STRUCTURE = Structure(
    list_keys={"spec.ports": {"port": None, "protocol": "TCP"}},
    sets=frozenset({"spec.names"}),
    atomic_maps=frozenset({"spec.selector"}),
)
LAWFUL = settings(derandomize=True, max_examples=150, deadline=None)
Owners = tuple[Ownership, ...]

_names = st.sampled_from("abc")
_scalars = st.integers(0, 2) | st.booleans() | st.sampled_from(["x", "y"])
_maps = st.dictionaries(_names, _scalars, max_size=3)
_ports = st.lists(
    st.fixed_dictionaries({"port": st.integers(1, 3)}, optional={"name": _names, "protocol": st.just("UDP")}),
    max_size=3,
    unique_by=lambda port: (port["port"], port.get("protocol", "TCP")),
)
_specs = st.fixed_dictionaries(
    {},
    optional={
        "ports": _ports,
        "names": st.lists(_names, unique=True, max_size=3),
        "selector": _maps,
        "hosts": st.lists(_scalars, max_size=2),
        "policy": st.dictionaries(_names, _maps | _scalars, max_size=2),
    },
)
documents = st.fixed_dictionaries(
    {"metadata": st.fixed_dictionaries({"name": st.just("x")}, optional={"labels": _maps})}, optional={"spec": _specs}
)
NOTHING = {"metadata": {"name": "x"}}


def manager(name: str) -> Manager:
    return Manager(name, "v1", "2026-01-01T00:00:00Z")


def applied(
    live: dict[str, Any] | None, owners: Owners, configuration: dict[str, Any], name: str, *, force: bool = True
) -> tuple[dict[str, Any], Owners] | None:
    """What an apply makes of an object; None when it is in conflict."""
    found = apply_configuration(live, configuration, owners, name, STRUCTURE)
    if found.conflicts and not force:
        return None
    return found.document, owners_after_apply(live, configuration, found.document, owners, manager(name), STRUCTURE)


def must(outcome: tuple[dict[str, Any], Owners] | None) -> tuple[dict[str, Any], Owners]:
    assert outcome is not None
    return outcome


def claimed(document: dict[str, Any]) -> frozenset[tuple[str, ...]]:
    return fields_of(ownable(document), STRUCTURE) - {("f:metadata",)}


def comparable(owners: Owners) -> list[dict[str, Any]]:
    return dump_managed_fields(owners)


def same(one: Any, other: Any) -> bool:
    change = differences(one, other, STRUCTURE)
    return not (change.written | change.removed)


@LAWFUL
@given(documents)
def test_fields_survive_their_encoding(document: dict[str, Any]) -> None:
    for fields in (fields_of(document, STRUCTURE), all_fields(document, STRUCTURE)):
        assert decode_fields(encode_fields(fields)) == fields
    assert json.dumps(encode_all(document, STRUCTURE)) == json.dumps(encode_fields(all_fields(document, STRUCTURE)))


@LAWFUL
@given(documents)
def test_a_new_object_is_its_authors_as_if_it_had_been_compared_with_nothing(document: dict[str, Any]) -> None:
    compared = owners_after_update(None, document, (), manager("one"), STRUCTURE)
    assert json.dumps(with_updated(document, None, None, manager("one"), STRUCTURE)) == json.dumps(
        with_owners(document, compared)
    )


@LAWFUL
@given(documents, documents)
def test_differences_turn_around(before: dict[str, Any], after: dict[str, Any]) -> None:
    there, back = differences(before, after, STRUCTURE), differences(after, before, STRUCTURE)
    assert (there.added, there.modified, there.removed) == (back.removed, back.modified, back.added)
    assert same(before, before)


@LAWFUL
@given(documents, documents)
def test_what_is_merged_is_in_it_and_merging_twice_is_once(live: dict[str, Any], configuration: dict[str, Any]) -> None:
    untouched = deepcopy((live, configuration))
    once = merge(live, configuration, STRUCTURE)
    assert merge(once, configuration, STRUCTURE) == once
    assert all_fields(configuration, STRUCTURE) <= all_fields(once, STRUCTURE)
    assert merge({}, configuration, STRUCTURE) == configuration
    assert (live, configuration) == untouched


@LAWFUL
@given(documents)
def test_nothing_gone_leaves_a_value_as_it_is(document: dict[str, Any]) -> None:
    nothing: frozenset[tuple[str, ...]] = frozenset()
    assert without(document, nothing, nothing, STRUCTURE) == document
    everything = all_fields(document, STRUCTURE)
    assert without(document, everything, everything, STRUCTURE) == document


@LAWFUL
@given(documents, documents, documents)
def test_applying_again_changes_nothing(first: dict[str, Any], other: dict[str, Any], own: dict[str, Any]) -> None:
    live, owners = must(applied(None, (), first, "one"))
    live, owners = must(applied(live, owners, other, "two"))
    live, owners = must(applied(live, owners, own, "one"))
    again = must(applied(live, owners, own, "one", force=False))
    assert again[0] == live
    assert comparable(again[1]) == comparable(owners)


@LAWFUL
@given(documents, documents)
def test_who_applies_owns_what_it_names_and_nothing_else(first: dict[str, Any], second: dict[str, Any]) -> None:
    live, owners = must(applied(None, (), first, "one"))
    live, owners = must(applied(live, owners, second, "two"))
    held = {owner.manager: owner.fields for owner in owners}
    assert held["two"] == claimed(second)
    assert held["one"] <= claimed(first)
    assert held["one"] <= all_fields(live, STRUCTURE)


@LAWFUL
@given(documents, documents)
def test_giving_everything_up_leaves_what_the_other_applied(first: dict[str, Any], second: dict[str, Any]) -> None:
    live, owners = must(applied(None, (), first, "one"))
    both = applied(live, owners, second, "two", force=False)
    if both is None:
        return
    live, owners = must(applied(*both, NOTHING, "two", force=False))
    assert same(merge(live, first, STRUCTURE), live)
    wanted = claimed(first)
    assert [owner["manager"] for owner in comparable(owners)] == (["one"] if wanted else [])


@LAWFUL
@given(documents, documents)
def test_without_conflict_the_order_of_managers_does_not_matter(one: dict[str, Any], two: dict[str, Any]) -> None:
    there = applied(*must(applied(None, (), one, "one")), two, "two", force=False)
    back = applied(*must(applied(None, (), two, "two")), one, "one", force=False)
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert same(there[0], back[0])
        assert comparable(there[1]) == comparable(back[1])


@LAWFUL
@given(documents, documents, documents)
def test_another_write_owns_what_it_changed(
    first: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    live, owners = must(applied(None, (), first, "one"))
    live, owners = must(applied(live, owners, before, "two"))
    updated = owners_after_update(live, after, owners, manager("edit"), STRUCTURE)
    change = differences(live, after, STRUCTURE)
    held = {owner.manager: owner.fields for owner in updated}
    assert held["edit"] == change.written
    assert not (held["one"] | held["two"]) & change.written
    assert all(owner.fields <= all_fields(after, STRUCTURE) for owner in updated)
    entries = dump_managed_fields(updated)
    assert dump_managed_fields(parse_managed_fields(entries)) == entries
