"""What applies and updates do, case by case."""

from datetime import UTC, datetime
from typing import Any

import pytest
from galley.core.apply.documents import (
    check_configuration,
    manager_at,
    manager_of,
    merged,
    with_applied,
    with_updated,
)
from galley.core.apply.managers import ANCIENT, MOST_UPDATERS
from galley.core.apply.ownership import Manager
from galley.core.apply.structure import PLAIN, Structure
from galley.core.kube_api.status import StatusError

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def document(spec: dict[str, Any] | None = None, **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "a", "namespace": "n"}
    if labels:
        metadata["labels"] = labels
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "K", "metadata": metadata}
    return {**body, "spec": spec} if spec is not None else body


def apply(
    live: dict[str, Any] | None, configuration: dict[str, Any], name: str, *, force: bool = False, time: str = LATE
) -> dict[str, Any]:
    result = merged(live, configuration, name, PLAIN, force=force)
    return with_applied(result, live, configuration, Manager(name, "v1", time), PLAIN)


def update(live: dict[str, Any] | None, after: dict[str, Any], name: str, given: Any = None) -> dict[str, Any]:
    return with_updated(after, live, given, Manager(name, "v1", LATE), PLAIN)


def owned(result: dict[str, Any]) -> dict[tuple[str, str], Any]:
    entries = result["metadata"].get("managedFields", [])
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in entries}


def test_the_entry_of_an_apply_is_as_the_api_shows_it() -> None:
    result = apply(None, document({"hosts": ["a"]}, app="x"), "m1")
    assert result["metadata"]["managedFields"] == [
        {
            "manager": "m1",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": LATE,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}}}, "f:spec": {"f:hosts": {}}},
        }
    ]


def test_a_conflict_names_manager_and_field() -> None:
    live = apply(None, document({"hosts": ["a"]}), "m1")
    with pytest.raises(StatusError) as caught:
        apply(live, document({"hosts": ["b"]}), "m2")
    assert caught.value.body["message"] == 'Apply failed with 1 conflict: conflict with "m1": .spec.hosts'
    assert caught.value.body["details"] == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".spec.hosts"}]
    }


def test_several_conflicts_are_told_by_manager() -> None:
    live = update(None, document({"a": 1, "b": 1}), "edit")
    live = apply(live, document({"c": 1}), "m1")
    with pytest.raises(StatusError) as caught:
        apply(live, document({"a": 2, "b": 2, "c": 2}), "m2")
    assert caught.value.detail == (
        'Apply failed with 3 conflicts: conflicts with "edit" using v1:\n- .spec.a\n- .spec.b\n'
        'conflicts with "m1":\n- .spec.c'
    )


def test_force_moves_ownership() -> None:
    live = apply(None, document({"hosts": ["a"], "x": 1}), "m1")
    result = apply(live, document({"hosts": ["b"]}), "m2", force=True)
    assert result["spec"] == {"hosts": ["b"], "x": 1}
    assert owned(result) == {
        ("m1", "Apply"): {"f:spec": {"f:x": {}}},
        ("m2", "Apply"): {"f:spec": {"f:hosts": {}}},
    }


def test_an_equal_value_is_shared_and_stays_until_both_give_it_up() -> None:
    live = apply(apply(None, document({"x": 1}), "m1"), document({"x": 1}), "m2")
    live = apply(live, document({}), "m1")
    assert live["spec"] == {"x": 1}
    live = apply(live, document({}), "m2")
    assert live.get("spec", {}) == {}


def test_what_a_manager_gives_up_goes_and_what_nobody_claimed_stays() -> None:
    live = apply(None, document({"x": 1, "y": 1}, app="x"), "m1")
    live["spec"]["default"] = True
    result = apply(live, document({"x": 1}), "m1")
    assert result["spec"] == {"x": 1, "default": True}
    assert "labels" not in result["metadata"]


def test_an_item_of_a_keyed_list_goes_with_its_defaults() -> None:
    ports = Structure(list_keys={"spec.ports": {"port": None, "protocol": "TCP"}})

    def applied(live: dict[str, Any] | None, *numbers: int) -> dict[str, Any]:
        configuration = document({"ports": [{"port": number} for number in numbers]})
        result = merged(live, configuration, "m1", ports, force=False)
        return with_applied(result, live, configuration, Manager("m1", "v1", LATE), ports)

    live = applied(None, 80, 81)
    for port in live["spec"]["ports"]:
        port.update(protocol="TCP", targetPort=port["port"])
    assert [port["port"] for port in applied(live, 81)["spec"]["ports"]] == [81]


def test_applying_the_same_keeps_the_time() -> None:
    live = apply(None, document({"x": 1}), "m1", time=EARLY)
    assert apply(live, document({"x": 1}), "m1") == live
    assert apply(live, document({"x": 2}), "m1")["metadata"]["managedFields"][0]["time"] == LATE


def test_an_update_takes_fields_and_a_field_it_removes_is_nobodys() -> None:
    live = apply(None, document({"x": 1, "y": 1, "z": 1}), "m1")
    result = update(live, document({"x": 2, "z": 1}), "edit")
    assert owned(result) == {
        ("m1", "Apply"): {"f:spec": {"f:z": {}}},
        ("edit", "Update"): {"f:spec": {"f:x": {}}},
    }


def test_an_update_that_changes_nothing_leaves_no_entry() -> None:
    live = apply(None, document({"x": 1}), "m1")
    assert update(live, document({"x": 1}), "edit") == live


def test_an_object_of_unknown_origin_has_an_owner_before_the_first_apply() -> None:
    live = document({"x": 1})
    with pytest.raises(StatusError, match='"before-first-apply" using v1'):
        apply(live, document({"x": 2}), "m1")
    assert set(owned(apply(live, document({"x": 1}), "m1"))) == {
        ("m1", "Apply"),
        ("before-first-apply", "Update"),
    }


def test_managers_can_be_written_and_forgotten_but_not_by_mistake() -> None:
    live = apply(None, document({"x": 1}), "m1")
    renamed = [{**live["metadata"]["managedFields"][0], "manager": "m9"}]
    assert owned(update(live, document({"x": 1}), "edit", renamed)) == {("m9", "Apply"): {"f:spec": {"f:x": {}}}}
    for unread in (None, [], "nonsense", [{"operation": "Dance"}]):
        assert owned(update(live, document({"x": 1}), "edit", unread)) == owned(live)
    assert owned(update(live, document({"x": 1}), "edit", [{}])) == {}


def test_the_oldest_of_many_updaters_are_kept_together() -> None:
    live: dict[str, Any] | None = None
    spec: dict[str, Any] = {}
    for number in range(MOST_UPDATERS + 5):
        spec = {**spec, f"x{number}": number}
        time = f"2026-01-01T00:00:{number:02}Z"
        live = with_updated(document(spec), live, None, Manager(f"m{number}", "v1", time), PLAIN)
    assert live is not None
    held = owned(live)
    assert len(held) == MOST_UPDATERS
    assert {f"f:x{number}" for number in range(6)} <= held[ANCIENT, "Update"]["f:spec"].keys()


def test_who_writes_is_the_field_manager_or_the_user_agent() -> None:
    assert manager_of("m1", "curl/8") == "m1"
    assert manager_of("", "curl/8 (linux)") == "curl"
    assert manager_of("", "") == "unknown"
    with pytest.raises(StatusError):
        manager_of("m" * 129, "")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "is an object"),
        ({"apiVersion": "v2"}, "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1"),
        ({"apiVersion": "v1", "metadata": {"managedFields": [{}]}}, "metadata.managedFields must be nil"),
        ({"apiVersion": "v1", "metadata": {"name": "b"}}, r"the name of the object \(b\) does not match"),
    ],
)
def test_what_is_no_configuration_is_refused(body: Any, message: str) -> None:
    with pytest.raises(StatusError, match=message) as caught:
        check_configuration(body, "v1", "a")
    assert caught.value.http == 400


def test_a_manager_writes_at_whole_seconds() -> None:
    assert manager_at("m", "v1", datetime(2026, 1, 1, 1, 2, 3, 999, tzinfo=UTC)).time == "2026-01-01T01:02:03Z"
