"""Endpoints go out while config waits: at once, before what has to be compiled, and each receipt tells of its own."""

from datetime import UTC, datetime
from functools import partial
from itertools import pairwise

import pytest
from drawn_changes import NODES, changes_of
from drawn_objects import NAMES
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.distribution.events import ChangeSet, FullState
from meshcore.xds import delta
from meshcore.xds.effects import Nacked, Send
from meshcore.xds.request import Rejection, Request
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from pilot.core.compiler import CompileCache, Refreshing, compile_resources
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.impact import affects
from pilot.core.node import parse_node
from pilot.core.registry import RegisteredWorkload

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASSIGNMENT = "outbound|80||a.shop.svc.cluster.local"


class Client:
    """An Envoy, and the account that is kept of its stream."""

    def __init__(self, mesh, node):
        self.mesh = mesh
        self.stream = mesh.engine.connect(parse_node(node), delta, "127.0.0.1", 0.0)
        self.unanswered = []
        session = self.stream.session
        self._do(session.resources_changed(mesh.engine.target(self.stream), mesh.engine.snapshot.revision, 0.0))
        for type_url in (CLUSTER_TYPE, LISTENER_TYPE):
            self._do(session.request_received(Request(type_url=type_url), 0.0))
        for type_url in (ENDPOINT_TYPE, ROUTE_TYPE):
            self._do(session.request_received(Request(type_url=type_url, subscribe=("*",)), 0.0))
        self.answer()

    def take(self):
        """Take what is pending; the types of what is sent, in order."""
        taken = self.mesh.engine.take_push(self.stream)
        if taken is None:
            return None
        push, resources = taken
        return self._do(self.stream.session.resources_changed(resources, push.revision, 0.0))

    def answer(self, rejection=None):
        """Acknowledge, or refuse, everything that is on its way."""
        while self.unanswered:
            sent = self.unanswered.pop(0)
            request = Request(type_url=sent.type_url, nonce=sent.nonce, rejection=rejection)
            self._do(self.stream.session.request_received(request, 0.0))

    def held(self, type_url):
        return {name: one.body for name, one in self.stream.session.channels[type_url].held.items() if one.exists}

    def _do(self, effects):
        stream, receipts = self.stream, self.mesh.engine.receipts
        sent = [effect for effect in effects if isinstance(effect, Send)]
        self.unanswered += sent
        for effect in effects:
            if isinstance(effect, Nacked):
                receipts.refused(stream.number, effect.revision, effect.type_url, "no", (), stream.target_endpoints)
        receipts.settled(stream.number, stream.session.settled_revision, 1.0)
        if stream.session.settled:
            stream.settled_generation, stream.settled_endpoints = stream.target_generation, stream.target_endpoints
            receipts.settled_endpoints(stream.number, stream.settled_endpoints, 1.0)
        return [effect.type_url for effect in sent]


class Mesh:
    """An engine with the real compiler."""

    def __init__(self, steps=(), endpoint_debounce=None):
        memos = CompileCache()
        compiler = partial(compile_resources, cache=memos)
        lane = endpoint_debounce or Debounce(0, 0)
        self.engine = Engine(compiler, affects, Debounce(0.1, 10), lane, refresh=Refreshing(memos))
        self.engine.take_state(FullState("s", 0, "", {}), 0.0)
        self.steps = []
        self.revision = 0
        for step in steps:
            self.change(*step)
        self.engine.release_pushes()
        self.engine.release_endpoints()

    def change(self, *step, now=0.0):
        """One revision: kind, namespace, name, variant."""
        self.steps.append(step)
        self.revision += 1
        change = changes_of(self.steps)[-1]
        self.engine.take_changes(ChangeSet("s", self.revision, self.revision - 1, "", NOW, (change,)), now)
        return self.revision

    def due(self, now):
        """The lanes whose time has come."""
        lanes = {"endpoints": self.engine.endpoint_lane, "config": self.engine.config_lane}
        return {name for name, lane in lanes.items() if lane.debounce.due is not None and lane.debounce.due <= now}

    def outstanding(self, revision):
        return self.engine.receipts.answer(revision).outstanding


SHOP = (("Service", "shop", "a", 4), ("Service", "shop", "b", 10), ("EndpointSlice", "shop", "x", 3))
SLICE, OTHER_SLICE = ("EndpointSlice", "shop", "x", 9), ("EndpointSlice", "shop", "x", 6)
POLICY = ("AuthorizationPolicy", "shop", "a", 0)
OF_ANOTHER_LABEL = ("AuthorizationPolicy", "shop", "b", 1)
OF_GATEWAYS = ("Gateway", "shop", "a", 0)


@pytest.fixture
def shop():
    return Mesh(SHOP)


@pytest.fixture
def caller(shop):
    return Client(shop, NODES[0])


def settle(mesh, client):
    mesh.engine.release_endpoints()
    mesh.engine.release_pushes()
    while client.take() is not None:
        client.answer()


def test_other_endpoints_are_due_at_once_in_a_burst_of_config(shop, caller):
    for step in range(40):
        shop.change(*POLICY[:3], step % 2 * 2, now=5.0 + step / 20)
    assert shop.due(6.95) == set()
    shop.change(*SLICE, now=6.96)
    assert shop.due(6.96) == {"endpoints"}
    assert shop.engine.release_endpoints() == [caller.stream.number]
    assert caller.take() == [ENDPOINT_TYPE]
    assert shop.due(7.06) == {"config"}, "nor does what came between make the burst longer"


def test_a_change_waits_for_no_quiet_because_of_one_that_never_answers(shop, caller):
    stuck = Client(shop, {**NODES[0], "id": "sidecar~10.1.0.9~z.shop~shop.svc.cluster.local"})
    for step in range(5):
        now = 5.0 + step * 0.05
        shop.change(*POLICY[:3], step % 2 * 2, now=now)
        shop.engine.release_pushes()
        caller.take()
        caller.answer()
    assert stuck.stream.number in shop.engine.receipts._open
    shop.change(*POLICY[:3], 2, now=6.4)
    shop.engine.release_pushes()
    caller.take()
    caller.answer()
    shop.change(*POLICY, now=6.43)
    assert shop.due(6.43) == {"config"}


def test_endpoints_that_follow_each_other_go_out_together_and_wait_for_no_quiet():
    mesh = Mesh(SHOP, endpoint_debounce=Debounce(0.1, 0.1))
    Client(mesh, NODES[0])
    released = []
    for step in range(100):
        now = 5.0 + step / 100
        if mesh.due(now):
            mesh.engine.release_endpoints()
            released.append(now)
        mesh.change("EndpointSlice", "shop", "x", 3 + step % 2 * 3, now=now)
    gaps = [later - earlier for earlier, later in pairwise(released)]
    assert 7 <= len(released) <= 12
    assert max(gaps) < 0.13


@pytest.mark.parametrize("released", [True, False])
def test_endpoints_go_before_config_that_has_to_be_compiled_and_each_receipt_is_its_own(shop, caller, released):
    config = shop.change(*POLICY)
    if released:
        shop.engine.release_pushes()
    endpoints = shop.change(*SLICE)
    assert shop.outstanding(config) == shop.outstanding(endpoints) == (caller.stream.proxy.id,)
    shop.engine.release_endpoints()
    compiles, before = shop.engine.configs.compiles, caller.held(ENDPOINT_TYPE)[ASSIGNMENT]
    assert caller.take() == [ENDPOINT_TYPE]
    assert shop.engine.configs.compiles == compiles
    assert caller.held(ENDPOINT_TYPE)[ASSIGNMENT] != before
    assert shop.outstanding(endpoints) == (caller.stream.proxy.id,), "it is not acknowledged yet"
    caller.answer()
    assert shop.outstanding(endpoints) == ()
    assert shop.outstanding(config) == (caller.stream.proxy.id,)
    assert shop.engine.receipts.answer(endpoints).acked == 1
    shop.engine.release_pushes()
    assert caller.take() == [LISTENER_TYPE]
    caller.answer()
    assert shop.outstanding(config) == ()
    assert shop.engine.receipts.answer(config).acked == 1


def test_endpoints_that_are_refused_fail_their_own_receipt(shop, caller):
    config = shop.change(*POLICY)
    endpoints = shop.change(*SLICE)
    shop.engine.release_endpoints()
    caller.take()
    caller.answer(Rejection(13, "no"))
    assert [one.proxy for one in shop.engine.receipts.answer(endpoints).failed] == [caller.stream.proxy.id]
    assert shop.outstanding(config) == (caller.stream.proxy.id,)
    assert not shop.engine.receipts.answer(config).failed


def test_who_takes_the_config_first_has_the_endpoints_with_it(shop, caller):
    shop.change(*POLICY)
    endpoints = shop.change(*SLICE)
    shop.engine.release_pushes()
    assert caller.take()[0] == ENDPOINT_TYPE
    caller.answer()
    assert shop.outstanding(endpoints) == ()
    assert shop.engine.release_endpoints() == [], "it has them"


def test_endpoints_that_need_more_than_an_assignment_come_with_the_config_that_is_on_its_way():
    mesh = Mesh([("Service", "shop", "a", 3), *SHOP[1:]])  # no cluster address: endpoints are listeners, too
    caller = Client(mesh, NODES[0])
    mesh.change(*POLICY)
    endpoints = mesh.change("EndpointSlice", "shop", "x", 9)
    mesh.engine.release_endpoints()
    assert caller.take() is None
    assert mesh.outstanding(endpoints) == (caller.stream.proxy.id,)
    settle(mesh, caller)
    assert mesh.outstanding(endpoints) == ()


def test_endpoints_alone_are_compiled_at_once_where_no_config_waits():
    mesh = Mesh([("Service", "shop", "a", 3), *SHOP[1:]])
    caller = Client(mesh, NODES[0])
    endpoints = mesh.change("EndpointSlice", "shop", "x", 9)
    assert mesh.engine.release_endpoints() == [caller.stream.number]
    caller.take()
    caller.answer()
    assert mesh.outstanding(endpoints) == ()


def test_a_class_that_config_does_not_concern_keeps_its_fast_path(shop, caller):
    shop.change(*OF_GATEWAYS)
    assert shop.engine.release_pushes() == []
    compiles = shop.engine.configs.compiles
    shop.change(*SLICE)
    shop.engine.release_endpoints()
    assert caller.take() == [ENDPOINT_TYPE]
    assert shop.engine.configs.compiles == compiles


def test_nothing_of_another_store_is_given_after_a_new_state(shop, caller):
    shop.engine.take_state(FullState("restored", 1, "", {}), 0.0)
    shop.change(*SLICE)
    shop.engine.release_endpoints()
    assert caller.take() is None
    settle(shop, caller)
    assert caller.held(ENDPOINT_TYPE) == {}


def test_a_proxy_of_another_class_than_before_waits_for_its_config(shop, caller):
    """What others of its new class have may lack both the policies that it had and those that it is to have."""
    shop.change(*OF_ANOTHER_LABEL)
    other = Client(shop, {**NODES[0], "id": "sidecar~10.1.0.9~z.shop~shop.svc.cluster.local"})
    assert other.stream.proxy_class == caller.stream.proxy_class
    shop.change(*POLICY)
    shop.change(*SLICE)
    assert len(shop.engine.release_endpoints()) == 2
    assert caller.take() is None
    assert other.take() == [ENDPOINT_TYPE]
    settle(shop, caller)
    settle(shop, other)
    assert given_last(caller) == given_last(other) == fresh(shop.engine.snapshot, caller.stream.proxy_class)


def test_a_registration_is_taken_everywhere_while_config_waits():
    mesh = Mesh([("Service", "shop", "a", 10), ("WorkloadGroup", "shop", "b", 1)])
    caller = Client(mesh, NODES[0])
    mesh.change(*POLICY)
    mesh.engine.take_registered([RegisteredWorkload("r1", "shop", "b", "10.3.0.1")], 0.0)
    assert mesh.engine.endpoint_changes.count == mesh.engine.registered_at[1], "it is one of endpoints alone"
    assert not caller.stream.has_taken(*mesh.engine.registered_at)
    mesh.engine.release_endpoints()
    caller.take()
    caller.answer()
    assert caller.stream.has_taken(*mesh.engine.registered_at)
    assert caller.stream.settled_generation < mesh.engine.generation


CONFIG = ("Service", "VirtualService", "DestinationRule", "PeerAuthentication", "AuthorizationPolicy", "Sidecar")
ENDPOINTS = ("EndpointSlice", "Endpoints", "Pod", "WorkloadEntry")
place = st.tuples(st.sampled_from(("shop", "other")), st.sampled_from(NAMES), st.integers(-1, 11))
acts = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(CONFIG), place),
    st.tuples(st.just("change"), st.sampled_from(ENDPOINTS), place),
    st.tuples(st.sampled_from(("release_pushes", "release_endpoints")), st.none(), st.none()),
    st.tuples(st.sampled_from(("take", "answer", "refuse")), st.integers(0, len(NODES) - 1), st.none()),
)
START = (
    *(("Service", namespace, name, number) for namespace in ("shop", "other") for number, name in enumerate(NAMES, 3)),
    *(("EndpointSlice", namespace, name, 4) for namespace in ("shop", "other") for name in NAMES),
    ("VirtualService", "shop", "a", 1),
)


def versions(made):
    """What it is, whichever revisions it came from."""
    return {(kind, name): one.version for kind, named in made.resources.items() for name, one in named.items()}


def fresh(snapshot, one):
    return versions(compile_resources(snapshot, one))


def given_last(client):
    return versions(client.stream.session.target)


@settings(max_examples=40)
@given(st.lists(acts, min_size=5, max_size=40))
def test_whatever_the_order_everybody_ends_with_what_there_is_and_receipts_tell_what_was_taken(drawn):
    mesh = Mesh(START)
    engine = mesh.engine
    clients = [Client(mesh, node) for node in NODES]
    for act, what, where in drawn:
        if act == "change":
            mesh.change(what, *where)
        elif where is None and what is None:
            getattr(engine, act)()
        elif act == "take":
            client, one = clients[what], clients[what].stream.proxy_class
            if client.take() is not None:
                base = engine.configs._configs[one].snapshot
                assert given_last(client) == fresh(base, one)
                same = [key for key, service in base.registry.services.items()
                        if engine.snapshot.registry.services.get(key) == service]  # fmt: skip
                then, now = base.registry.endpoints, engine.snapshot.registry.endpoints
                assert [then.get(key) for key in same] == [now.get(key) for key in same]
        else:
            clients[what].answer(Rejection(13, "no") if act == "refuse" else None)
    for client in clients:
        settle(mesh, client)
        client.answer()
    for client in clients:
        assert given_last(client) == fresh(engine.snapshot, client.stream.proxy_class)
        assert client.stream.settled_generation == engine.generation
        assert client.stream.settled_endpoints == engine.endpoint_changes.count
    assert all(not mesh.outstanding(revision) for revision in range(1, mesh.revision + 1))
