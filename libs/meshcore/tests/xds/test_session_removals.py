"""What goes from a stream, and when: after whatever refers to it has been taken."""

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.xds import delta, sotw
from meshcore.xds.effects import Send
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.session import REMOVAL_DELAY
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from session_stream import Stream, target


def test_clusters_go_after_the_routes_of_the_same_change_were_acknowledged():
    stream = Stream(target("ab"))
    kinds, _ = stream.change(target("a", route="to a"))
    assert kinds == [ROUTE_TYPE]
    assert not stream.session.settled
    assert stream.session.settled_revision == 1
    kinds, effects = stream.ack(ROUTE_TYPE)
    assert kinds == [CLUSTER_TYPE, ENDPOINT_TYPE]
    assert effects[1].removed == effects[2].removed == {"b"}
    stream.settle()
    assert stream.session.settled_revision == 2


def renamed(cluster, routes):
    """One listener, whose routes have that name and lead to that cluster."""
    packed = [PackedResource.pack(kind, cluster, cluster.encode()) for kind in (CLUSTER_TYPE, ENDPOINT_TYPE)]
    packed += [PackedResource.pack(LISTENER_TYPE, "l", routes.encode())]
    packed += [PackedResource.pack(ROUTE_TYPE, routes, cluster.encode())]
    return ResourceSet.of(packed)


@pytest.mark.parametrize("front", [delta, sotw])
def test_clusters_go_after_the_routes_that_a_new_listener_asks_for_were_acknowledged(front):
    """Until then the listener before it is in use, with the routes that it has."""
    stream = Stream(renamed("a", "r"), front)
    stream.change(renamed("b", "s"))
    stream.ask(ENDPOINT_TYPE, subscribe=["b"] if front is delta else ["a", "b"], nonce=stream.nonces[ENDPOINT_TYPE])
    assert stream.ack(CLUSTER_TYPE)[0] == ([LISTENER_TYPE, ROUTE_TYPE] if front is delta else [LISTENER_TYPE])
    stream.ack(ENDPOINT_TYPE)
    if front is delta:
        asked = stream.ask(ROUTE_TYPE, subscribe=["s"])
    else:
        asked = stream.ask(ROUTE_TYPE, subscribe=["r", "s"], nonce=stream.nonces[ROUTE_TYPE])
    assert stream.ack(LISTENER_TYPE)[0] == []
    if front is delta:
        assert stream.ack(ROUTE_TYPE)[0] == [ROUTE_TYPE], "that the routes before are no more was acknowledged"
    else:
        assert asked[0] == [ROUTE_TYPE]
    kinds, effects = stream.ack(ROUTE_TYPE)
    assert kinds[0] == CLUSTER_TYPE
    assert effects[1].removed == {"a"}
    stream.settle()
    assert stream.session.settled_revision == 2


def test_clusters_go_in_the_end_even_if_routes_are_not_acknowledged():
    stream = Stream(target("ab"))
    stream.change(target("a", route="to a"))
    assert stream.session.deadline == REMOVAL_DELAY
    stream.now = REMOVAL_DELAY
    kinds, _ = stream.took(stream.session.elapsed(stream.now))
    assert kinds == [CLUSTER_TYPE, ENDPOINT_TYPE]


def test_a_cluster_that_comes_back_in_time_never_goes():
    stream = Stream(target("ab"))
    stream.change(target("a", route="to a"))
    stream.change(target("ab", route="to b"), 3)
    kinds, _ = stream.ack(ROUTE_TYPE)
    assert kinds == [ROUTE_TYPE]
    stream.settle()
    assert stream.session.settled_revision == 3


def test_endpoints_of_a_changed_cluster_that_is_to_go_are_still_sent():
    stream = Stream(target("ab"))
    stream.change(target("ab", endpoints="2"))
    changed = target("ab", endpoints="2", route="to a")
    clusters = dict(changed.of_type(CLUSTER_TYPE)) | {"b": PackedResource.pack(CLUSTER_TYPE, "b", b"other")}
    assert stream.change(ResourceSet({**changed.resources, CLUSTER_TYPE: clusters}), 3)[0] == [CLUSTER_TYPE]
    stream.change(target("a", endpoints="2", route="to a"), 4)
    _, effects = stream.ack(ENDPOINT_TYPE)
    resent = [effect for effect in effects if isinstance(effect, Send) and effect.type_url == ENDPOINT_TYPE]
    assert [effect.names for effect in resent] == [{"b"}]


def test_a_cluster_that_came_back_is_as_safe_as_before_when_it_is_lost_again():
    stream = Stream(target("ab"))
    stream.change(target("a", route="to a"))
    stream.now = REMOVAL_DELAY
    clusters = dict(target("a").of_type(CLUSTER_TYPE)) | {"a": PackedResource.pack(CLUSTER_TYPE, "a", b"other")}
    stream.change(ResourceSet({**target("a", route="to a").resources, CLUSTER_TYPE: clusters}), 3)
    stream.change(target("ab", route="to b"), 4)
    stream.settle()
    kinds, _ = stream.change(target("a", route="to a again"), 5)
    assert kinds == [ROUTE_TYPE]
    assert set(stream.session.channels[CLUSTER_TYPE].held) == {"a", "b"}


def test_state_of_the_world_sends_whole_lists_of_clusters_and_keeps_those_that_are_to_go():
    stream = Stream(target("ab"), sotw)
    kinds, _ = stream.change(target("ac", route="to c"))
    assert kinds == [CLUSTER_TYPE]
    held = stream.session.channels[CLUSTER_TYPE].held
    assert set(held) == {"a", "b", "c"}
    stream.settle()
    assert set(stream.session.channels[CLUSTER_TYPE].held) == {"a", "c"}


def test_state_of_the_world_leaves_routes_that_are_no_more_to_those_who_use_them():
    stream = Stream(renamed("a", "r"), sotw)
    kinds, _ = stream.change(renamed("a", "s"))
    assert kinds == [LISTENER_TYPE], "the listener before it would be left without routes"
    kinds, effects = stream.ask(ROUTE_TYPE, subscribe=["r", "s", "t"], nonce=stream.nonces[ROUTE_TYPE])
    assert kinds == [ROUTE_TYPE]
    found = [resource.value for resource in discovery_pb2.DiscoveryResponse.FromString(effects[-1].frame).resources]
    assert found == [b"a", b"\n\x01t"], "who asks for routes that never were is told so"


def test_state_of_the_world_keeps_clusters_of_routes_that_went_and_came_while_others_were_on_their_way():
    """That there were none in between was never told: the client still has those of before."""
    stream = Stream(target("ab", route="to b"), sotw)
    stream.change(target("ac", route="to a"))
    listener = {LISTENER_TYPE: target().of_type(LISTENER_TYPE)}
    stream.change(ResourceSet({**target("ac").resources, **listener, ROUTE_TYPE: {}}), 3)
    stream.change(target("ad", route="to d"), 4)
    kinds, effects = stream.ack(CLUSTER_TYPE)
    assert kinds == [CLUSTER_TYPE]
    assert "b" in effects[1].names


@pytest.mark.parametrize("front", [delta, sotw])
def test_a_revision_is_not_settled_before_its_removals_are_answered(front):
    stream = Stream(target("ab"), front)
    stream.change(target("b", route="2"))
    stream.ack(ROUTE_TYPE)
    assert stream.session.channels[CLUSTER_TYPE].flight is not None
    assert stream.session.settled_revision == 1
    stream.settle()
    assert stream.session.settled_revision == 2
