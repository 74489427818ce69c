"""The fast path of endpoints: what it gives is what compiling gives, and it is taken where endpoints alone change."""

from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType

import pytest
from drawn_changes import NODES, REGISTERED, Record, changes_of
from drawn_objects import KINDS, NAMES, NAMESPACES, document
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import Key
from meshcore.xds import delta
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import ENDPOINT_TYPE
from pilot.core.compiler import CompileCache, Refreshing, compile_resources
from pilot.core.compiler.parts import service_parts
from pilot.core.compiler.refresh import Assignments
from pilot.core.compiling import never
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affects
from pilot.core.node import parse_node

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDPOINTS = ("EndpointSlice", "Endpoints", "Pod", "Node", "WorkloadEntry", "WorkloadGroup", "ServiceEntry")
GRPC = {
    "id": "sidecar~10.2.0.4~a.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "LABELS": {"app": "a"}, "GENERATOR": "grpc"},
}
LIKE_B = {
    "id": "sidecar~10.2.0.5~c.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "LABELS": {"app": "c"}},
}
"""For most services as much counts for it as for the proxy of b in the other namespace."""
EVERYBODY = (*NODES, GRPC, LIKE_B)
SAME = (NODES[1], LIKE_B)
START = (
    *(("Service", namespace, name) for namespace in ("shop", "other") for name in NAMES),
    *(("ServiceEntry", "shop", name) for name in NAMES),
    *(("EndpointSlice", namespace, name) for namespace in ("shop", "other") for name in NAMES),
    ("WorkloadGroup", "shop", "a"),
    ("WorkloadGroup", "shop", "b"),
    ("DestinationRule", "shop", "a"),
    ("DestinationRule", "shop", "b"),
    ("Gateway", "shop", "a"),
    ("PeerAuthentication", "other", "a"),
)
place = st.tuples(st.sampled_from(NAMESPACES[:2]), st.sampled_from(NAMES), st.integers(-1, 11))
started = st.tuples(*(st.tuples(*map(st.just, one), st.integers(0, 11)) for one in START))
endpoint_events = st.lists(st.tuples(st.sampled_from(ENDPOINTS), place), min_size=2, max_size=6)
other_event = st.tuples(st.sampled_from(KINDS), place)
registrations = st.lists(st.sampled_from(REGISTERED), max_size=3, unique_by=lambda one: one.name)


def engines():
    memos = CompileCache()
    compiler = partial(compile_resources, cache=memos)
    return [Engine(compiler, affects, Debounce(0.1, 10), refresh=refresh) for refresh in (Refreshing(memos), never)]


def given_to(engine):
    found = []
    for stream in engine.streams.values():
        made = engine.compiled(stream)
        resources = {
            (kind, name): (resource.version, resource.body)
            for kind, named in made.resources.items()
            for name, resource in named.items()
        }
        found.append((resources, made.diagnostics, made.secrets))
    return found


def take(engine, changes, revision):
    engine.take_changes(ChangeSet("s", revision, revision - 1, "", NOW, tuple(changes)), 0.0)


@settings(max_examples=40)
@given(started, endpoint_events, other_event, registrations, st.booleans())
def test_other_endpoints_give_what_compiling_gives(start, events, other, registered, late):
    steps = [*((kind, *rest) for kind, *rest in start), *((kind, *rest) for kind, rest in (*events, other, *events))]
    changes = changes_of(steps)
    fast, whole = engines()
    for engine in (fast, whole):
        engine.take_state(FullState("s", 0, "", {}), 0.0)
        for node in EVERYBODY:
            engine.connect(parse_node(node), delta, "127.0.0.1", 0.0)
        take(engine, changes[: len(START)], 1)
        engine.take_registered(REGISTERED, 0.0)
    assert given_to(fast) == given_to(whole)
    for number, change in enumerate(changes[len(START) :], start=2):
        for engine in (fast, whole):
            take(engine, [change], number)
            if number == 4:
                engine.take_registered(registered, 0.0)
        if number % 2 or not late:
            assert given_to(fast) == given_to(whole)
    assert given_to(fast) == given_to(whole)


def shop(variants, nodes=NODES[:2]):
    """Services a and b (with a cluster address), slices of a, and a proxy of each class (two unless it is said) that
    calls them."""
    fast, _ = engines()
    fast.take_state(FullState("s", 0, "", {}), 0.0)
    for node in nodes:
        fast.connect(parse_node(node), delta, "127.0.0.1", 0.0)
    steps = [("Service", "shop", "a", 4), ("Service", "shop", "b", 10), *variants]
    changes = changes_of(steps)
    take(fast, changes[:3], 1)
    given_to(fast)
    return fast, changes[3:]


def test_a_changed_slice_costs_no_compile():
    fast, (change,) = shop([("EndpointSlice", "shop", "x", 3), ("EndpointSlice", "shop", "x", 9)])
    before = [engine_set.resources for engine_set in fast.configs.given.values()]
    compiles = fast.configs.compiles
    take(fast, [change], 2)
    given_to(fast)
    assert (fast.configs.compiles, fast.configs.refreshes) == (compiles, 2)
    after = [engine_set.resources for engine_set in fast.configs.given.values()]
    for then, now in zip(before, after, strict=True):
        changed = [kind for kind in then if then[kind] is not now[kind]]
        assert [kind.rpartition(".")[2] for kind in changed] == ["ClusterLoadAssignment"]


def test_what_counts_alike_for_classes_is_looked_at_once(monkeypatch):
    looked = []

    def parts(work, service):
        looked.append(service.host)
        return service_parts(work, service)

    monkeypatch.setattr("pilot.core.compiler.refresh.service_parts", parts)
    fast, (change,) = shop([("EndpointSlice", "shop", "x", 3), ("EndpointSlice", "shop", "x", 9)], SAME)
    take(fast, [change], 2)
    given_to(fast)
    assert fast.configs.refreshes == len(SAME)
    assert looked == ["a.shop.svc.cluster.local"] * 2


def test_a_rule_that_one_class_alone_sees_counts_for_no_other():
    rule = document("DestinationRule", "shop", "a", 0)
    rule["spec"] |= {"exportTo": ["."], "subsets": [{"name": "v1"}]}
    seen = Change(Key("networking.istio.io", "destinationrules", "shop", "a"), Record(4, rule), None)
    steps = [("Service", "shop", "a", 4), ("EndpointSlice", "shop", "x", 3), ("EndpointSlice", "shop", "x", 9)]
    *first, change = changes_of(steps)
    fast, whole = engines()
    for engine in (fast, whole):
        engine.take_state(FullState("s", 0, "", {}), 0.0)
        for node in SAME:
            engine.connect(parse_node(node), delta, "127.0.0.1", 0.0)
        take(engine, [*first, seen], 1)
        given_to(engine)
        take(engine, [change], 2)
    after = given_to(fast)
    assert after == given_to(whole)
    assert fast.configs.refreshes == len(SAME)
    subset = ENDPOINT_TYPE, "outbound|80|v1|a.shop.svc.cluster.local"
    assert [subset in resources for resources, _, _ in after] == [False, True]


@pytest.mark.parametrize("kind", ["Service", "DestinationRule", "PeerAuthentication", "EnvoyFilter", "Sidecar"])
def test_whatever_else_changes_is_compiled(kind):
    fast, (change,) = shop([("EndpointSlice", "shop", "x", 3), (kind, "shop", "c", 0)])
    compiles = fast.configs.compiles
    take(fast, [change], 2)
    given_to(fast)
    assert fast.configs.compiles > compiles
    assert fast.configs.refreshes == 0


def test_classes_that_had_one_mapping_of_assignments_have_one_again():
    old, new = (PackedResource.pack(ENDPOINT_TYPE, "a", body) for body in (b"old", b"new"))
    assignments, had = Assignments(), MappingProxyType({"a": old, "b": old})
    after = assignments.replaced(had, {"a": new})
    assert after == {"a": new, "b": old}
    assert assignments.replaced(had, {"a": new}) is after
    assert assignments.replaced(MappingProxyType({**had}), {"a": new}) is not after
    assert assignments.replaced(had, {"a": old}) is had
