"""Hand-framed messages parse as the real ones, and one move makes one bytes object for everybody."""

from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import given
from hypothesis import strategies as st
from meshcore.xds import delta, sotw
from meshcore.xds.frames import Frames, is_move, plan_transition
from meshcore.xds.resource import NOTHING, PackedResource, ResourceSet
from meshcore.xds.subscription import Subscription
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE

ALL = Subscription(wildcard=True)
NAMES = st.text(max_size=300)


def resources(**bodies):
    packed = [PackedResource.pack(CLUSTER_TYPE, name, body.encode()) for name, body in bodies.items()]
    return ResourceSet.of(packed).of_type(CLUSTER_TYPE)


@given(st.dictionaries(NAMES, st.binary(max_size=40_000), max_size=4), st.lists(NAMES.filter(bool), max_size=3))
def test_a_delta_frame_is_the_message(bodies, removed):
    target = {name: PackedResource.pack(CLUSTER_TYPE, name, body) for name, body in bodies.items()}
    held = {name: PackedResource(CLUSTER_TYPE, name, "old", b"") for name in removed}
    move = plan_transition(CLUSTER_TYPE, held, target, ALL)
    parsed = discovery_pb2.DeltaDiscoveryResponse.FromString(delta.assemble(move, "n1"))
    assert {r.name: (r.version, r.resource.type_url, r.resource.value) for r in parsed.resources} == {
        name: (target[name].version, CLUSTER_TYPE, body) for name, body in bodies.items()
    }
    assert set(parsed.removed_resources) == set(removed) - set(bodies)
    assert (parsed.nonce, parsed.type_url) == ("n1", CLUSTER_TYPE)
    assert parsed.system_version_info


@given(st.dictionaries(NAMES, st.binary(max_size=40_000), max_size=4))
def test_a_state_of_the_world_frame_is_the_message(bodies):
    target = {name: PackedResource.pack(CLUSTER_TYPE, name, body) for name, body in bodies.items()}
    move = sotw.plan(CLUSTER_TYPE, NOTHING, target, ALL, frozenset(), frozenset())
    parsed = discovery_pb2.DiscoveryResponse.FromString(sotw.assemble(move, "n1"))
    assert [any_.value for any_ in parsed.resources] == list(bodies.values())
    assert (parsed.nonce, parsed.type_url) == ("n1", CLUSTER_TYPE)


def test_streams_that_make_the_same_move_get_the_same_bytes_object():
    frames = Frames()
    old, new = resources(a="1"), resources(a="2", b="1")
    first = frames.transition("delta", CLUSTER_TYPE, old, new, ALL)
    second = frames.transition("delta", CLUSTER_TYPE, old, new, ALL)
    assert first is second
    one = frames.frame(first, delta.assemble, 0)
    assert frames.frame(second, delta.assemble, 0).data is one.data
    assert first.sent_as(one, 7) is second.sent_as(one, 7)
    assert [(told.frame is one.data, told.revision) for told in (first.sent_as(one, 8),)] == [(True, 8)]
    assert first.after is new
    assert (frames.built, frames.shared) == (1, 1)


def test_a_stream_that_has_seen_the_nonce_gets_the_bytes_under_a_newer_one():
    frames = Frames()
    there, back = resources(a="1"), resources(a="2")
    move = frames.transition("delta", CLUSTER_TYPE, there, back, ALL)
    one = frames.frame(move, delta.assemble, 0)
    two = frames.frame(move, delta.assemble, one.serial)
    assert two.nonce != one.nonce
    assert frames.frame(move, delta.assemble, 0).data is two.data


def test_the_memory_of_moves_is_bounded():
    frames = Frames(budget=10_000)
    for number in range(200):
        move = frames.transition("delta", CLUSTER_TYPE, NOTHING, resources(a=str(number) * 100), ALL)
        frames.frame(move, delta.assemble, 0)
    assert len(frames._moves) < 30
    assert frames._used <= 10_000


def test_an_absent_name_is_told_once():
    some = Subscription(names=frozenset({"x"}))
    first = plan_transition(ENDPOINT_TYPE, NOTHING, NOTHING, some)
    assert first.removed == ("x",)
    assert plan_transition(ENDPOINT_TYPE, first.after, NOTHING, some).empty


FEW = st.sampled_from("abcde")
HELD = st.dictionaries(FEW, st.sampled_from([("", b""), ("1", b""), ("1", b"1"), ("2", b"2")]), max_size=5)
THERE = st.dictionaries(FEW, st.sampled_from([("1", b"1"), ("2", b"2")]), max_size=5)


@given(HELD, THERE, st.booleans(), st.frozensets(FEW), st.frozensets(FEW), st.frozensets(FEW))
def test_whether_there_is_a_move_is_known_without_planning_it(held, there, wildcard, names, force, keep):
    had, target = (
        {name: PackedResource(CLUSTER_TYPE, name, *form) for name, form in some.items()} for some in (held, there)
    )
    wanted = Subscription(wildcard=wildcard, names=names)
    # What is to be sent again has been asked for.
    force &= names | target.keys() if wildcard else names
    keep -= target.keys()
    planned = plan_transition(CLUSTER_TYPE, had, target, wanted, force, keep)
    assert is_move(had, target, wanted, force, keep) is not planned.empty


def test_old_moves_go_with_what_they_alone_keep_alive():
    frames = Frames(budget=1_000_000)
    one, everything = resources(a="x" * 10_000), Subscription(wildcard=True)
    for step in range(200):
        other = resources(a="x" * 10_000 + str(step))
        move = frames.transition("delta", CLUSTER_TYPE, one, other, everything)
        frames.frame(move, delta.assemble, 0)
        one = move.after
    # Each keeps its frame, and the resource that it replaced.
    assert len(frames._moves) < 1_000_000 / 20_000


def test_ways_to_what_nobody_is_to_have_any_more_are_forgotten():
    frames, held, target, other = Frames(), resources(a="1"), resources(a="2"), resources(a="3")
    for goal in (target, other):
        frames.frame(frames.transition("delta", CLUSTER_TYPE, held, goal, ALL), delta.assemble, 0)
    known = frames.transition("delta", CLUSTER_TYPE, held, other, ALL)
    frames.retire(target)
    frames.retire(resources(a="2"))
    assert frames.transition("delta", CLUSTER_TYPE, held, other, ALL) is known
    assert [kept.target for kept in frames._moves.values()] == [other]
    frames.retire(other)
    assert (frames._used, len(frames._moves), frames._to) == (0, 0, {})


def test_moves_that_nobody_asks_for_go_with_time():
    frames, held = Frames(), resources(a="1")
    asked, other = (resources(a=word) for word in ("2", "3"))
    moves = [frames.transition("delta", CLUSTER_TYPE, held, goal, ALL) for goal in (asked, other)]
    frames.frame(moves[1], delta.assemble, 0)
    for _ in range(3):
        assert frames.transition("delta", CLUSTER_TYPE, held, asked, ALL) is moves[0]
        frames.forget_unused()
    assert [kept.target for kept in frames._moves.values()] == [asked]
    assert frames._used == next(iter(frames._moves.values())).cost
    frames.forget_unused()
    assert (frames._used, len(frames._moves), frames._to) == (0, 0, {})
