"""What cannot be taken into a snapshot is left out alone, whatever the reason."""

from dataclasses import dataclass

import pytest
from drawn_changes import Change, Record
from meshcore.errors import ErrorCode, MeshError
from pilot.core import snapshot as snapshots
from pilot.core.impact import affects
from pilot.core.intake import UNEXPECTED, UNREADABLE
from pilot.core.namespace_index import sorted_again
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot
from pilot.core.status import left_out_rows

ELSEWHERE = {"id": "sidecar~10.0.0.1~p.elsewhere~elsewhere.svc.cluster.local", "metadata": {"NAMESPACE": "elsewhere"}}
SECRET_WORDS = "what an object says"


@dataclass
class Failing:
    """A record whose decoding fails in a way that nobody foresaw."""

    revision: int
    deleted: bool = False

    @property
    def object(self):
        raise ZeroDivisionError(SECRET_WORDS)


def rule(name, revision=1, *, host="reviews", exported="*"):
    return Record(
        revision,
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {"host": host, "exportTo": [exported]},
        },
    )


def key(name):
    return ("networking.istio.io", "destinationrules", "shop", name)


def change(name, record, previous=None):
    return Change(key(name), record, previous)


def names(snapshot):
    return {name for _, name in snapshot.configs.get("DestinationRule", {})}


@pytest.fixture
def poisoned(monkeypatch):
    """Indexing fails as long as one of these rules is among the objects."""
    bad = set()

    def index(before, configs, touched):
        for name in sorted(bad & {name for _, name in configs.get("DestinationRule", {})}):
            raise KeyError(f"{SECRET_WORDS}: {name}")
        return sorted_again(before, configs, touched)

    monkeypatch.setattr(snapshots, "sorted_again", index)
    return bad


def test_a_failure_that_nobody_foresaw_is_told_without_the_words_of_the_object():
    before = MeshSnapshot.empty().apply([change("a", rule("a"))])
    after = before.apply([change("a", Failing(2)), change("b", rule("b", 2))])
    assert names(after) == {"a", "b"}
    assert after.configs["DestinationRule"]["shop", "a"] is before.configs["DestinationRule"]["shop", "a"]
    (one,) = after.diagnostics.values()
    assert (one.code, one.config, one.source) == (
        UNEXPECTED,
        "DestinationRule/shop/a",
        ("DestinationRule", "shop", "a"),
    )
    assert one.brief == "ZeroDivisionError while it was read"
    assert one.where[-1].startswith("test_intake.py:")
    assert SECRET_WORDS not in repr(one)
    assert left_out_rows(after)[0]["message"] == f"Pilot could not take it: {one.brief}"
    assert after.apply([change("a", rule("a", 3))]).diagnostics == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "VirtualService"},
        {"metadata": {"name": "b", "namespace": "shop"}},
        {"metadata": {"name": "a", "namespace": "other"}},
    ],
)
def test_an_object_under_the_key_of_another_is_left_out(wrong):
    record = Record(1, {**rule("a").object, "spec": {}, **wrong})
    after = MeshSnapshot.empty().apply([change("a", record), change("c", rule("c"))])
    assert [(one.code, one.config) for one in after.diagnostics.values()] == [(UNREADABLE, "DestinationRule/shop/a")]
    assert names(after) == {"c"}
    assert "VirtualService" not in after.configs


def test_what_cannot_be_indexed_is_found_among_many_and_left_out_alone(poisoned):
    poisoned |= {"r07", "r31"}
    everything = [f"r{number:02}" for number in range(40)]
    after = MeshSnapshot.of_entries({key(name): rule(name) for name in everything}, 5)
    assert names(after) == set(everything) - poisoned
    assert after.revision == 5
    assert {one.source[2]: (one.code, one.brief) for one in after.diagnostics.values()} == {
        name: (UNEXPECTED, "KeyError while it was indexed") for name in poisoned
    }
    assert SECRET_WORDS not in repr(after.diagnostics)
    poisoned.clear()
    mended = after.apply([change("r07", rule("r07", 6))])
    assert names(mended) == set(everything) - {"r31"}
    assert [one.source[2] for one in mended.diagnostics.values()] == ["r31"]


def test_of_the_changes_that_were_made_those_are_told_that_are_left_out():
    before = MeshSnapshot.empty().apply([change("a", Failing(2))])
    changes = [
        change("b", rule("b", 3)),
        change("c", Failing(3)),
        Change(("gateway.networking.k8s.io", "gateways", "shop", "a"), Record(3, {}), None),
        Change(("example.com", "unheard", "shop", "c"), Record(3, {}), None),
    ]
    after = before.apply(changes)
    assert set(after.diagnostics) == {("DestinationRule", "shop", name) for name in "ac"}
    (one,) = after.left_out_of(changes)
    assert one.config == "DestinationRule/shop/c@3"
    assert one.message == after.diagnostics["DestinationRule", "shop", "c"].message


def test_a_state_that_comes_again_keeps_the_last_good_forms():
    before = MeshSnapshot.of_entries({key("a"): rule("a"), key("b"): rule("b")}, 1)
    after = MeshSnapshot.of_entries({key("a"): Failing(2), key("c"): rule("c", 2)}, 2, before)
    assert names(after) == {"a", "c"}
    assert after.configs["DestinationRule"]["shop", "a"].revision == 1
    assert len(after.diagnostics) == 1


def test_a_state_of_which_nothing_can_be_taken_is_no_state(poisoned):
    poisoned |= {"a", "b"}
    entries = {key("a"): rule("a"), key("b"): rule("b")}
    with pytest.raises(MeshError) as caught:
        MeshSnapshot.of_entries(entries, 1)
    assert caught.value.code is ErrorCode.INTERNAL
    poisoned.clear()
    before = MeshSnapshot.of_entries(entries, 1)
    assert names(before) == {"a", "b"}


def test_who_had_the_form_before_one_that_was_left_out_is_concerned_by_the_next():
    """The record between them says nothing of the form that stayed in force."""
    good, bad, last = rule("a", 1), Failing(2), rule("a", 3, host="other", exported=".")
    caller = parse_node(ELSEWHERE)
    first = MeshSnapshot.empty().apply([change("a", good)])
    second = first.apply([change("a", bad, good)])
    mended = change("a", last, bad)
    third = second.apply([mended])
    assert affects(mended, classify(caller, third.selection), third)
