"""The engine: compiled once per class, shared while unchanged, receipts opened when a change is applied."""

from datetime import UTC, datetime

import pytest
from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.model.kinds import NETWORKING
from meshcore.xds import delta
from meshcore.xds.request import Request
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE, NAME_TABLE_TYPE
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.proxy import parse_node
from pilot.core.receipt import Knowledge
from pilot.core.registry import RegisteredWorkload

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def compile_hosts(snapshot, proxy_class):
    packed = [PackedResource.pack(CLUSTER_TYPE, key.host, key.host.encode()) for key in snapshot.registry.services]
    return ResourceSet.of([*packed, PackedResource.pack(LISTENER_TYPE, "l", proxy_class.namespace.encode())])


def engine(affects=lambda change, proxy_class, snapshot: True):
    made = Engine(compile_hosts, affects, Debounce(0.1, 10))
    made.take_state(FullState("s", 1, "", {}), 0.0)
    made.release_pushes()
    return made


def connect(to, name, namespace="shop", **metadata):
    node = {
        "id": f"sidecar~10.0.0.1~{name}.{namespace}~{namespace}.svc.cluster.local",
        "metadata": {"NAMESPACE": namespace, **metadata},
    }
    return to.connect(parse_node(node), delta, "127.0.0.1", 0.0)


def change(to, revision, name, previous=None):
    document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"ports": [{"name": "http", "port": 80}], "clusterIP": "10.0.0.1"},
    }
    key = Key("", "services", "shop", name)
    record = make_record(kv_key(*key), "s", revision, document, "", NOW)
    to.take_changes(ChangeSet("s", revision, previous or revision - 1, "", NOW, (Change(key, record, None),)), 1.0)


def test_replicas_share_one_compile_and_one_target():
    pilot = engine()
    one, two = connect(pilot, "a"), connect(pilot, "b")
    assert pilot.target(one) is pilot.target(two)
    assert pilot.compiles == 1
    other = connect(pilot, "c", namespace="bank")
    assert pilot.target(other) is not pilot.target(one)


def test_types_that_did_not_change_keep_their_mapping():
    pilot = engine()
    stream = connect(pilot, "a")
    before = pilot.target(stream)
    change(pilot, 2, "reviews")
    after = pilot.target(stream)
    assert after.of_type(LISTENER_TYPE) is before.of_type(LISTENER_TYPE)
    assert after.of_type(CLUSTER_TYPE) is not before.of_type(CLUSTER_TYPE)


def test_only_affected_streams_are_pushed_and_waited_for():
    pilot = engine(lambda change, proxy_class, snapshot: proxy_class.namespace == "shop")
    inside, outside = connect(pilot, "a"), connect(pilot, "b", namespace="bank")
    change(pilot, 2, "reviews")
    assert pilot.receipts.answer(2).outstanding == ("a.shop",)
    assert pilot.release_pushes() == [inside.number]
    assert pilot.take_push(outside) is None
    push, resources = pilot.take_push(inside)
    assert push.revision == 2
    assert "reviews.shop.svc.cluster.local" in resources.of_type(CLUSTER_TYPE)


def test_changes_before_the_push_merge_into_one():
    pilot = engine()
    stream = connect(pilot, "a")
    for revision, name in enumerate(["x", "y", "z"], start=2):
        change(pilot, revision, name)
    assert pilot.release_pushes() == [stream.number]
    push, resources = pilot.take_push(stream)
    assert push.revision == 4
    assert len(resources.of_type(CLUSTER_TYPE)) == 3
    assert pilot.compiles == 1


def test_a_stream_that_ends_is_gone_from_its_receipts():
    pilot = engine()
    stream = connect(pilot, "a")
    change(pilot, 2, "reviews")
    assert pilot.disconnect(stream)
    assert pilot.receipts.answer(2).gone == ("a.shop",)
    assert pilot.release_pushes() == []


def test_an_agent_is_never_compiled_for():
    pilot = engine()
    agent = connect(pilot, "a", GENERATOR="agent")
    assert set(pilot.target(agent).resources) == {NAME_TABLE_TYPE}
    change(pilot, 2, "reviews")
    assert pilot.receipts.answer(2).count == 0
    assert pilot.compiles == 0
    assert pilot.release_pushes() == [agent.number]


def test_a_new_whole_state_forgets_receipts_and_touches_everybody():
    pilot = engine()
    stream = connect(pilot, "a")
    change(pilot, 2, "reviews")
    pilot.take_state(FullState("other", 1, "", {}), 2.0)
    assert pilot.receipts.answer(1).knowledge is Knowledge.BEFORE
    assert pilot.release_pushes() == [stream.number]
    assert not pilot.target(stream).of_type(CLUSTER_TYPE)


def test_a_compile_that_fails_takes_nothing_from_anybody():
    pilot = engine()
    stream = connect(pilot, "a")
    before = pilot.target(stream)
    pilot.compile = lambda snapshot, proxy_class: 1 // 0
    change(pilot, 2, "reviews")
    assert pilot.target(stream) is before
    assert "ZeroDivisionError" in pilot.broken[stream.proxy_class]
    pilot.compile = compile_hosts
    change(pilot, 3, "details")
    assert len(pilot.target(stream).of_type(CLUSTER_TYPE)) == 2
    assert not pilot.broken


def test_looking_at_what_a_stream_is_to_have_gives_it_nothing():
    pilot = engine()
    stream = connect(pilot, "a")
    pilot.target(stream)
    change(pilot, 2, "reviews")
    assert "reviews.shop.svc.cluster.local" in pilot.compiled(stream).of_type(CLUSTER_TYPE)
    assert stream.target_generation < pilot.generation
    pilot.target(stream)
    assert stream.target_generation == pilot.generation


@pytest.mark.parametrize("answered", ["before", "after"])
def test_what_was_acknowledged_of_another_store_acknowledges_nothing_of_this_one(answered):
    pilot = engine()
    pilot.take_state(FullState("s", 500, "", {}), 0.0)
    stream = connect(pilot, "a")
    session = stream.session
    session.resources_changed(pilot.target(stream), 500, 0.0)
    sent = session.request_received(Request(type_url=CLUSTER_TYPE), 0.0)[-1]
    acknowledgement = Request(type_url=CLUSTER_TYPE, nonce=sent.nonce)
    if answered == "before":
        session.request_received(acknowledgement, 0.0)
        assert session.settled_revision == 500
    pilot.take_state(FullState("restored", 3, "", {}), 0.0)
    change(pilot, 4, "reviews")
    if answered == "after":
        session.request_received(acknowledgement, 0.0)
    assert not pilot.receipts.settled(stream.number, session.settled_revision, 1.0)
    assert pilot.receipts.answer(4).outstanding == ("a.shop",)
    pilot.release_pushes()
    _, resources = pilot.take_push(stream)
    sent = session.resources_changed(resources, 4, 1.0)[-1]
    assert session.settled_revision < 4
    session.request_received(Request(type_url=CLUSTER_TYPE, nonce=sent.nonce), 1.0)
    assert pilot.receipts.settled(stream.number, session.settled_revision, 1.0)
    assert pilot.receipts.answer(4).acked == 1


def service_that_is_seen(to, where: str):
    document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "reviews", "namespace": "shop", "annotations": {"networking.istio.io/exportTo": where}},
        "spec": {"ports": [{"name": "http", "port": 80}], "clusterIP": "10.0.0.1", "selector": {"app": "reviews"}},
    }
    group = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": "reviews", "namespace": "shop"},
        "spec": {"metadata": {"labels": {"app": "reviews"}}, "template": {}},
    }
    service, its_group = Key("", "services", "shop", "reviews"), Key(NETWORKING, "workloadgroups", "shop", "reviews")
    changes = [
        Change(key, make_record(kv_key(*key), "s", 2, body, "", NOW), None)
        for key, body in ((service, document), (its_group, group))
    ]
    to.take_changes(ChangeSet("s", 2, 1, "", NOW, tuple(changes)), 1.0)


@pytest.mark.parametrize(("where", "both"), [(".", False), ("*", True)])
def test_a_workload_that_registers_concerns_only_who_sees_its_services(where, both):
    pilot = engine()
    service_that_is_seen(pilot, where)
    inside, outside = connect(pilot, "a"), connect(pilot, "b", namespace="bank")
    pilot.release_pushes()
    for stream in (inside, outside):
        pilot.target(stream)
        stream.settled_generation = stream.target_generation
    pilot.take_registered([RegisteredWorkload("r", "shop", "reviews", "10.1.0.1")], 2.0)
    assert pilot.release_pushes() == ([inside.number, outside.number] if both else [inside.number])
    assert inside.settled_generation < pilot.generation
    assert (outside.settled_generation == pilot.generation) is not both, "it has all that there is for it"
