"""Snapshots: what is updated equals what is built anew, and what did not change stays the same object."""

import random

import pytest
from drawn_changes import (
    NODES,
    REGISTERED,
    SCOPED,
    SCOPED_START,
    SIDECARS,
    STEPS,
    Change,
    Record,
    changes_of,
    classes_that_stay,
    compiled,
    moves,
)
from drawn_objects import KINDS, document
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.model.load import parse_object
from meshcore.testing.envoy import validate
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.impact import affects
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.selection import concerned
from pilot.core.snapshot import MeshSnapshot


@settings(max_examples=150)
@given(STEPS)
def test_applied_step_by_step_equals_built_at_once_and_memos_change_nothing(steps):
    changes = changes_of(steps)
    cache = CompileCache()
    snapshot = MeshSnapshot.empty().with_registered(REGISTERED)
    for change in changes:
        snapshot = snapshot.apply([change])
        compiled(snapshot, cache)
    entries = {change.key: change.record for change in changes}
    fresh = MeshSnapshot.of_entries(entries, len(changes)).with_registered(REGISTERED)
    assert snapshot.registry.services == fresh.registry.services
    assert snapshot.registry.endpoints == fresh.registry.endpoints
    assert snapshot.selection == fresh.selection
    assert compiled(snapshot, cache) == compiled(fresh)


@settings(max_examples=50)
@given(STEPS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(steps, shuffler: random.Random):
    entries = list({change.key: change.record for change in changes_of(steps)}.items())
    first = MeshSnapshot.of_entries(dict(entries), 1).with_registered(REGISTERED)
    shuffler.shuffle(entries)
    second = MeshSnapshot.empty()
    for key, record in entries:
        second = second.apply([Change(key, record)])
    second = second.with_registered(reversed(REGISTERED))
    assert compiled(first) == compiled(second)


@settings(max_examples=150)
@given(STEPS)
def test_what_is_said_to_be_unaffected_compiles_to_the_same(steps):
    for change, before, after in moves(steps):
        for one in classes_that_stay(NODES, before, after):
            if not affects(change, one, after):
                was, now = compile_resources(before, one), compile_resources(after, one)
                assert (was.resources, was.secrets) == (now.resources, now.secrets)


@settings(max_examples=150)
@given(SCOPED_START, SCOPED, st.integers(1, 4))
def test_what_a_sidecar_keeps_from_a_proxy_compiles_to_the_same(start, steps, together):
    changes = changes_of([*start, *steps])
    first = len(start)
    cache = CompileCache()
    snapshot = MeshSnapshot.empty().with_registered(REGISTERED).apply(changes[:first])
    for place in range(first, len(changes), together):
        part = changes[place : place + together]
        before, snapshot = snapshot, snapshot.apply(part)
        for one in classes_that_stay(SIDECARS, before, snapshot):
            if not any(affects(change, one, snapshot) for change in part):
                was, now = compile_resources(before, one, cache), compile_resources(snapshot, one, cache)
                assert (was.resources, was.secrets) == (now.resources, now.secrets)


@settings(max_examples=100)
@given(STEPS)
def test_classes_depend_on_the_selection_only(steps):
    for _, before, after in moves(steps):
        if before.selection is after.selection:
            continue
        assert before.selection != after.selection, "an equal selection is the same object"
        may_move = concerned(before.selection, after.selection)
        for node in NODES:
            proxy = parse_node(node)
            same = classify(proxy, before.selection) == classify(proxy, after.selection)
            assert same or may_move(proxy)


def test_what_did_not_change_stays_the_same_object():
    changes = changes_of(
        [("Service", "shop", "a", 1), ("VirtualService", "shop", "a", 1), ("WorkloadEntry", "shop", "a", 1)]
    )
    before = MeshSnapshot.empty().apply(changes)
    after = before.apply(changes_of([("DestinationRule", "shop", "b", 2)]))
    assert after.registry is before.registry
    assert after.selection is before.selection
    assert after.mesh_config is before.mesh_config
    assert after.by_namespace["VirtualService"] is before.by_namespace["VirtualService"]


def test_an_endpoint_that_comes_changes_neither_the_services_nor_the_classes():
    before = MeshSnapshot.empty().apply(changes_of([("Service", "shop", "a", 1), ("WorkloadEntry", "shop", "a", 1)]))
    after = before.apply(changes_of([("WorkloadEntry", "shop", "b", 4)]))
    assert len(next(iter(after.registry.endpoints.values()))) == 2
    assert after.registry.by_host is before.registry.by_host
    assert after.selection is before.selection


def test_an_object_that_cannot_be_read_keeps_its_last_good_form():
    good = changes_of([("Service", "shop", "a", 1)])
    before = MeshSnapshot.empty().apply(good)
    bad = Change(good[0].key, Record(2, {"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": {"ports": 7}}))
    after = before.apply([bad])
    assert after.registry.services == before.registry.services
    assert [item.code for item in after.diagnostics.values()] == ["unreadable"]
    assert after.apply(good).diagnostics == {}


def test_a_broken_mesh_config_keeps_the_last_good_one():
    before = MeshSnapshot.empty().apply(changes_of([("ConfigMap", "", "", 1)]))
    assert before.mesh_config.proxy_http_port == 15001
    assert before.mesh_config != MeshSnapshot.empty().mesh_config
    broken = document("ConfigMap", "", "", 1) | {"data": {"mesh": "proxyHttpPort: many"}}
    after = before.apply([Change(("", "configmaps", "istio-system", "istio"), Record(2, broken))])
    assert after.mesh_config is before.mesh_config
    assert len(after.diagnostics) == 1
    entries = {("", "configmaps", "istio-system", "istio"): Record(2, broken)}
    again = MeshSnapshot.of_entries(entries, 2, after)
    assert again.mesh_config is before.mesh_config
    assert len(again.diagnostics) == 1


def test_a_registered_workload_without_its_group_is_no_endpoint():
    service = changes_of([("Service", "shop", "a", 1)])  # selects app: b
    alone = MeshSnapshot.empty().apply(service).with_registered(REGISTERED)
    assert alone.registry.endpoints == {}
    grouped = alone.apply(changes_of([("WorkloadGroup", "shop", "b", 1)]))
    (endpoints,) = grouped.registry.endpoints.values()
    assert [(item.address, item.port, item.workload) for item in endpoints] == [("10.3.0.2", 8080, "b")]
    assert grouped.with_registered(()).registry.endpoints == {}


def test_unknown_kinds_are_passed_over():
    change = Change(
        ("example.com", "things", "shop", "x"), Record(7, {"apiVersion": "example.com/v1", "kind": "Thing"})
    )
    assert MeshSnapshot.empty().apply([change]).revision == 7


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_the_test_world_is_a_kind(kind):
    assert parse_object(document(kind, "shop", "a", 1)).kind == kind


@settings(max_examples=12)
@given(STEPS)
def test_envoy_accepts_whatever_a_mesh_becomes(steps):
    snapshot = MeshSnapshot.empty().with_registered(REGISTERED).apply(changes_of(steps))
    for node in NODES:
        validate(as_bootstrap(compile_resources(snapshot, classify(parse_node(node), snapshot.selection)), node))
