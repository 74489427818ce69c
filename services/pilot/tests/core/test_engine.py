"""The engine: compiled once per class, shared while unchanged, receipts opened when a change is applied."""

from datetime import UTC, datetime

import pytest
from meshcore.distribution.events import Change, ChangeSet, FullState
from meshcore.distribution.keys import Key, kv_key
from meshcore.distribution.records import make_record
from meshcore.model.kinds import NETWORKING, by_kind
from meshcore.xds import delta
from meshcore.xds.request import Request
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE, NAME_TABLE_TYPE
from pilot.core.compiler import compile_resources
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affects
from pilot.core.node import parse_node
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
    assert pilot.configs.compiles == 1
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
    assert pilot.configs.compiles == 1


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
    assert pilot.configs.compiles == 0
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
    pilot.configs._compile = lambda snapshot, proxy_class: 1 // 0
    change(pilot, 2, "reviews")
    assert pilot.target(stream) is before
    assert "ZeroDivisionError" in pilot.configs.broken[stream.proxy_class]
    pilot.configs._compile = compile_hosts
    change(pilot, 3, "details")
    assert len(pilot.target(stream).of_type(CLUSTER_TYPE)) == 2
    assert not pilot.configs.broken


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
    assert pilot.release_endpoints() == ([inside.number, outside.number] if both else [inside.number])
    assert inside.settled_generation < pilot.generation
    assert (outside.settled_generation == pilot.generation) is not both, "it has all that there is for it"


SHOP_ONLY = {"egress": [{"hosts": ["./*", "istio-system/*"]}]}


def write(to, revision, *objects, old=()):
    """One revision with these objects (`kind`, namespace, name, spec; a spec of None deletes), once everybody has what
    was before."""
    before = {(kind, namespace, name): spec for kind, namespace, name, spec in old}
    changes = []
    for kind, namespace, name, spec in objects:
        info = by_kind(API[kind], kind)
        key = Key(info.group, info.plural, namespace, name)

        def record(spec, at, key=key, kind=kind):
            body = spec and {
                "apiVersion": API[kind],
                "kind": kind,
                "metadata": {"name": key.name, "namespace": key.namespace},
                **({"spec": spec} if kind != "EndpointSlice" else spec),
            }
            if body and kind == "EndpointSlice":
                body["metadata"]["labels"] = {"kubernetes.io/service-name": key.name}
            return make_record(kv_key(*key), "s", at, body, "", NOW)

        was = before.get((kind, namespace, name))
        changes.append(Change(key, record(spec, revision), record(was, revision - 1) if was else None))
    to.take_changes(ChangeSet("s", revision, revision - 1, "", NOW, tuple(changes)), 1.0)
    return {to.streams[number].proxy.id for number in (*to.release_endpoints(), *to.release_pushes())}


API = {
    "Service": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "ServiceEntry": "networking.istio.io/v1",
    "DestinationRule": "networking.istio.io/v1",
    "VirtualService": "networking.istio.io/v1",
    "Sidecar": "networking.istio.io/v1",
    "PeerAuthentication": "security.istio.io/v1",
}
RATES = ("Service", "bank", "rates", {"ports": [{"name": "http", "port": 80}], "clusterIP": "10.0.0.9"})


def rates_at(address):
    listed = {"addressType": "IPv4", "ports": [{"name": "http", "port": 80}], "endpoints": [{"addresses": [address]}]}
    return "EndpointSlice", "bank", "rates", listed


RATES_SLICE = rates_at("10.1.0.1")
MOVED_RATES = (*RATES[:3], {**RATES[3], "clusterIP": "10.0.0.8"})
RATES_RULE = ("DestinationRule", "bank", "rates", {"host": "rates", "trafficPolicy": {"loadBalancer": {}}})
ANY_BANK_RULE = ("DestinationRule", "bank", "any", {"host": "*.bank.example"})
RATES_ROUTES = (
    "VirtualService",
    "bank",
    "rates",
    {"hosts": ["rates"], "http": [{"timeout": "1s", "route": [{"destination": {"host": "rates"}}]}]},
)
FX = ("ServiceEntry", "bank", "fx", {"hosts": ["fx.example"], "ports": [{"number": 80, "name": "http"}]})
TO_RATES = (
    "VirtualService",
    "shop",
    "money",
    {"hosts": ["money"], "http": [{"route": [{"destination": {"host": "rates.bank.svc.cluster.local"}}]}]},
)


@pytest.mark.parametrize(
    "one", [MOVED_RATES, RATES_SLICE, RATES_RULE, ANY_BANK_RULE, RATES_ROUTES, FX], ids=lambda one: one[0]
)
def test_a_proxy_whose_sidecar_does_not_import_the_host_is_neither_pushed_nor_waited_for(one):
    pilot = Engine(compile_resources, affects, Debounce(0.1, 10))
    pilot.take_state(FullState("s", 1, "", {}), 0.0)
    narrow, wide, own = connect(pilot, "a"), connect(pilot, "b", "office"), connect(pilot, "c", "bank")
    pilot.release_pushes()
    write(pilot, 2, ("Sidecar", "shop", "default", SHOP_ONLY), RATES)
    for stream in (narrow, wide, own):
        pilot.take_push(stream)
    assert write(pilot, 3, one, old=(one,)) == {wide.proxy.id, own.proxy.id}
    assert pilot.receipts.answer(3).outstanding == (wide.proxy.id, own.proxy.id)
    assert pilot.take_push(narrow) is None


@pytest.mark.parametrize(
    ("labels", "concerned"), [({"app": "a"}, {"a"}), ({"app": "z"}, set()), ({}, {"b", "c"}), (None, {"b", "c"})]
)
def test_a_sidecar_concerns_those_for_whom_it_may_be_chosen(labels, concerned):
    pilot = Engine(compile_resources, affects, Debounce(0.1, 10))
    pilot.take_state(FullState("s", 1, "", {}), 0.0)
    streams = [connect(pilot, name, LABELS={"app": name}) for name in ("a", "b", "c")]
    streams.append(connect(pilot, "far", "bank", LABELS={"app": "a"}))
    egress = {"egress": [{"hosts": ["./*"]}]}
    own = ("Sidecar", "shop", "own", {**egress, "workloadSelector": {"labels": {"app": "a"}}})
    every = ("Sidecar", "shop", "every", egress)
    write(pilot, 2, own, every)
    for stream in streams:
        pilot.take_push(stream)
    named = {} if labels is None else {"workloadSelector": {"labels": labels}}
    told = write(pilot, 3, ("Sidecar", "shop", "late", {**egress, **named}))
    assert told == {f"{name}.shop" for name in concerned}


def test_a_peer_authentication_concerns_those_who_import_something_of_its_namespace():
    pilot = Engine(compile_resources, affects, Debounce(0.1, 10))
    pilot.take_state(FullState("s", 1, "", {}), 0.0)
    narrow, wide = connect(pilot, "a"), connect(pilot, "b", "office")
    write(pilot, 2, ("Sidecar", "shop", "default", SHOP_ONLY), RATES)
    pilot.take_push(narrow)
    pilot.take_push(wide)
    strict = ("PeerAuthentication", "bank", "default", {"mtls": {"mode": "DISABLE"}})
    assert write(pilot, 3, strict) == {wide.proxy.id}
    pilot.take_push(wide)
    with_bank = {"egress": [{"hosts": ["bank/rates.bank.svc.cluster.local"]}]}
    write(pilot, 4, ("Sidecar", "shop", "default", with_bank))
    pilot.take_push(narrow)
    assert write(pilot, 5, (*strict[:3], None), old=(strict,)) == {narrow.proxy.id, wide.proxy.id}


def test_a_host_that_comes_into_scope_or_goes_out_of_it_is_pushed():
    pilot = Engine(compile_resources, affects, Debounce(0.1, 10))
    pilot.take_state(FullState("s", 1, "", {}), 0.0)
    narrow = connect(pilot, "a")
    pilot.release_pushes()
    cluster = "outbound|80||rates.bank.svc.cluster.local"

    def told(revision, *objects, old=()):
        pushed = write(pilot, revision, *objects, old=old) == {narrow.proxy.id}
        taken = pilot.take_push(narrow)
        assert (taken is not None) is pushed
        return pushed, cluster in pilot.compiled(narrow).of_type(CLUSTER_TYPE)

    only_shop = ("Sidecar", "shop", "default", SHOP_ONLY)
    with_bank = ("Sidecar", "shop", "default", {"egress": [{"hosts": ["./*", "bank/rates.bank.svc.cluster.local"]}]})
    assert told(2, RATES) == (True, True)
    assert told(3, only_shop) == (True, False)
    assert told(4, rates_at("10.1.0.1")) == (False, False)
    assert told(5, with_bank, old=(only_shop,)) == (True, True)
    assert told(6, rates_at("10.1.0.2")) == (True, True)
    assert told(7, only_shop, old=(with_bank,)) == (True, False)
    assert told(8, TO_RATES) == (True, True), "an imported route sends there"
    assert told(9, rates_at("10.1.0.3")) == (True, True)
    assert told(10, RATES_RULE) == (True, True)
    assert told(11, (*TO_RATES[:3], None), old=(TO_RATES,)) == (True, False)
    assert told(12, (*RATES[:3], None), old=(RATES,)) == (False, False)


def test_a_service_that_is_written_again_as_it_was_concerns_nobody():
    pilot = Engine(compile_resources, affects, Debounce(0.1, 10))
    pilot.take_state(FullState("s", 1, "", {}), 0.0)
    wide = connect(pilot, "b", "office")
    assert write(pilot, 2, RATES, RATES_SLICE) == {wide.proxy.id}
    assert write(pilot, 3, RATES, RATES_SLICE, old=(RATES, RATES_SLICE)) == set()


def test_a_service_that_is_exported_no_longer_goes_from_those_who_had_it():
    pilot = Engine(compile_resources, affects, Debounce(0.1, 10))
    pilot.take_state(FullState("s", 1, "", {}), 0.0)
    outside = connect(pilot, "b", "office")
    public = {**FX[3], "exportTo": ["*"]}
    private = {**FX[3], "exportTo": ["."]}
    write(pilot, 2, (*FX[:3], public))
    assert pilot.take_push(outside) is not None
    assert write(pilot, 3, (*FX[:3], private)) == {outside.proxy.id}
    pilot.take_push(outside)
    assert write(pilot, 4, (*FX[:3], {**private, "resolution": "DNS"})) == set()
