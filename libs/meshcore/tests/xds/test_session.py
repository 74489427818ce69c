"""Situations of one stream, one by one; the state machine beside this file mixes them."""

import pytest
from meshcore.errors import ErrorCode
from meshcore.xds import delta, sotw
from meshcore.xds.effects import Acked, Close, Expired, Nacked, Send
from meshcore.xds.frames import Frames
from meshcore.xds.request import Rejection, Request
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.session import WARMING_DELAY, AdsSession
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, NAME_TABLE_TYPE, ROUTE_TYPE, SECRET_TYPE
from session_stream import Stream, target


def test_a_changed_cluster_is_followed_by_its_endpoints_changed_or_not():
    stream = Stream(target("ab"))
    changed = target("ab")
    clusters = dict(changed.of_type(CLUSTER_TYPE)) | {"a": PackedResource.pack(CLUSTER_TYPE, "a", b"other")}
    kinds, effects = stream.change(ResourceSet({**changed.resources, CLUSTER_TYPE: clusters}))
    assert kinds == [CLUSTER_TYPE, ENDPOINT_TYPE]
    assert effects[1].names == {"a"}


def test_routes_wait_until_new_clusters_are_acknowledged():
    stream = Stream(target("a"))
    kinds, _ = stream.change(target("ab", route="to b"))
    assert kinds == [CLUSTER_TYPE]
    kinds, _ = stream.ask(ENDPOINT_TYPE, subscribe=("b",))
    assert kinds == [ENDPOINT_TYPE]
    assert stream.ack(ENDPOINT_TYPE)[0] == []
    assert stream.ack(CLUSTER_TYPE)[0] == [ROUTE_TYPE]


def test_routes_do_not_wait_for_a_cluster_that_never_warms():
    stream = Stream(target("a"))
    stream.change(target("ab", route="to b"))
    assert stream.session.deadline == WARMING_DELAY
    stream.now = WARMING_DELAY
    assert stream.took(stream.session.elapsed(stream.now))[0] == [ROUTE_TYPE]


def test_an_endpoint_change_sends_endpoints_alone():
    stream = Stream(target("ab"))
    kinds, effects = stream.change(target("ab", endpoints="2").sharing(stream.session.target))
    assert kinds == [ENDPOINT_TYPE]
    assert effects[0].names == {"a", "b"}


def test_changes_while_an_answer_is_out_are_merged_into_the_next_message():
    stream = Stream(target("a"))
    stream.change(target("a", endpoints="2"))
    assert stream.change(target("a", endpoints="3"), 3)[0] == []
    assert stream.change(target("a", endpoints="4"), 4)[0] == []
    _, effects = stream.ack(ENDPOINT_TYPE)
    sent = next(effect for effect in effects if isinstance(effect, Send))
    assert sent.revision == 4


def test_a_refused_version_is_kept_from_the_client_until_something_changes():
    stream = Stream(target("a"))
    stream.change(target("a", route="bad"))
    kinds, effects = stream.ack(ROUTE_TYPE, rejection=Rejection(3, "bad route"))
    assert kinds == []
    assert [type(effect) for effect in effects] == [Nacked]
    assert stream.session.channels[ROUTE_TYPE].rejection.message == "bad route"
    assert stream.change(target("a", route="bad"), 3)[0] == []
    assert stream.change(target("a", route="good"), 4)[0] == [ROUTE_TYPE]
    stream.settle()
    assert stream.session.channels[ROUTE_TYPE].rejection is None


def test_a_stale_nonce_acknowledges_nothing():
    stream = Stream(target("a"))
    stream.change(target("a", route="2"))
    kinds, effects = stream.ask(ROUTE_TYPE, nonce="long ago")
    assert kinds == []
    assert effects == (Expired(type_url=ROUTE_TYPE, nonce="long ago"),)
    assert stream.session.channels[ROUTE_TYPE].flight is not None


def test_names_beside_a_stale_delta_nonce_still_count():
    stream = Stream(target("ab"))
    stream.ask(ENDPOINT_TYPE, nonce="long ago", unsubscribe=("b",))
    assert stream.session.channels[ENDPOINT_TYPE].subscription.names == {"a"}


def test_a_name_that_is_subscribed_to_again_is_sent_again():
    stream = Stream(target("a"))
    kinds, effects = stream.ask(ENDPOINT_TYPE, subscribe=("a",))
    assert kinds == [ENDPOINT_TYPE]
    assert effects[0].names == {"a"}


def test_who_ends_a_wildcard_and_asks_for_it_again_while_a_message_is_out_is_sent_everything_again():
    """It has let go of all that came by the wildcard."""
    stream = Stream(target("ab"))
    stream.change(target("abc"))
    assert stream.ask(CLUSTER_TYPE, subscribe=["b"], unsubscribe=["*"])[0] == []
    assert stream.ask(CLUSTER_TYPE, subscribe=["*"])[0] == []
    kinds, effects = stream.ack(CLUSTER_TYPE)
    assert kinds[0] == CLUSTER_TYPE
    assert effects[1].names == {"a", "b", "c"}


def test_a_reconnect_is_sent_differences_and_removals_at_once():
    known = target("abc")
    session = AdsSession(delta, Frames())
    session.resources_changed(target("ab"), 5, 0.0)
    versions = {name: one.version for name, one in known.of_type(CLUSTER_TYPE).items()}
    [sent] = session.request_received(Request(type_url=CLUSTER_TYPE, initial_versions=versions), 0.0)
    assert (sent.names, sent.removed) == (frozenset(), {"c"})
    session = AdsSession(delta, Frames())
    session.resources_changed(known, 5, 0.0)
    assert session.request_received(Request(type_url=CLUSTER_TYPE, initial_versions=versions), 0.0) == ()
    assert session.settled_revision == 5


def versions(clusters, type_url):
    return {name: one.version for name, one in target(clusters).of_type(type_url).items()}


def came_back(resources):
    """A stream on which nothing was asked for yet."""
    stream = Stream(ResourceSet.of([]))
    stream.session = AdsSession(delta, Frames())
    stream.change(resources)
    return stream


def test_a_cluster_that_changed_while_its_client_was_away_is_followed_by_the_endpoints_that_it_has():
    stream = came_back(target("ab"))
    before = {**versions("ab", CLUSTER_TYPE), "a": "another"}
    kinds, _ = stream.ask(CLUSTER_TYPE, initial_versions=before)
    assert kinds == [CLUSTER_TYPE]
    _, effects = stream.ask(ENDPOINT_TYPE, subscribe=("a", "b"), initial_versions=versions("ab", ENDPOINT_TYPE))
    assert [effect.names for effect in effects] == [{"a"}]


def test_who_comes_back_while_it_warms_clusters_is_sent_endpoints_that_it_has():
    """It asks for clusters when they are warm, and has nothing to be sent then."""
    stream = came_back(target("ab"))
    _, effects = stream.ask(ENDPOINT_TYPE, subscribe=("a", "b"), initial_versions=versions("ab", ENDPOINT_TYPE))
    assert [effect.names for effect in effects] == [{"a", "b"}]
    stream.ack(ENDPOINT_TYPE)
    assert stream.ask(CLUSTER_TYPE, initial_versions=versions("ab", CLUSTER_TYPE)) == ([], ())


def test_an_agent_is_answered_even_if_it_has_the_names_already():
    names = ResourceSet.of([PackedResource.pack(NAME_TABLE_TYPE, "", b"table")])
    session = AdsSession(delta, Frames())
    session.resources_changed(names, 1, 0.0)
    held = {"": names.of_type(NAME_TABLE_TYPE)[""].version}
    [sent] = session.request_received(Request(type_url=NAME_TABLE_TYPE, initial_versions=held), 0.0)
    assert sent.names == frozenset()


def test_an_unknown_secret_is_not_declared_absent():
    session = AdsSession(delta, Frames())
    session.resources_changed(target("a"), 1, 0.0)
    assert session.request_received(Request(type_url=SECRET_TYPE, subscribe=("gateway",)), 0.0) == ()


def test_a_request_without_a_type_closes_the_stream():
    [effect] = AdsSession(delta, Frames()).request_received(Request(type_url=""), 0.0)
    assert isinstance(effect, Close)
    assert effect.code is ErrorCode.INVALID


def test_names_that_come_while_an_answer_is_out_plan_nothing_until_it_lands():
    stream = Stream(target("ab"))
    assert stream.ask(ENDPOINT_TYPE, subscribe=["x0"])[0] == [ENDPOINT_TYPE]
    planned = len(stream.session._frames._moves)
    for number in range(1, 50):
        assert stream.ask(ENDPOINT_TYPE, subscribe=[f"x{number}"])[0] == []
    assert len(stream.session._frames._moves) == planned
    # Listeners wait for what there is to be said of endpoints, and for nothing once it is out.
    assert stream.change(target("ab", listener="2"))[0] == []
    kinds, effects = stream.ack(ENDPOINT_TYPE)
    assert kinds == [ENDPOINT_TYPE, LISTENER_TYPE]
    assert effects[1].removed == {f"x{number}" for number in range(1, 50)}


def test_nothing_is_sent_before_there_is_a_target():
    session = AdsSession(delta, Frames())
    assert session.request_received(Request(type_url=CLUSTER_TYPE), 0.0) == ()
    assert [effect.type_url for effect in session.resources_changed(target("a"), 1, 0.0)] == [CLUSTER_TYPE]


@pytest.mark.parametrize("front", [delta, sotw])
def test_an_acknowledgement_says_how_long_it_took(front):
    session = AdsSession(front, Frames())
    session.resources_changed(target("a"), 7, 0.0)
    [sent] = session.request_received(Request(type_url=CLUSTER_TYPE), 1.0)
    effects = session.request_received(Request(type_url=CLUSTER_TYPE, nonce=sent.nonce), 1.5)
    assert effects == (Acked(type_url=CLUSTER_TYPE, nonce=sent.nonce, revision=7, seconds=0.5),)


def test_state_of_the_world_answers_added_names_only():
    stream = Stream(target("abc"), sotw)
    assert stream.ask(ENDPOINT_TYPE, nonce=stream.nonces[ENDPOINT_TYPE], subscribe=("a",))[0] == []
    kinds, effects = stream.ask(ENDPOINT_TYPE, nonce=stream.nonces[ENDPOINT_TYPE], subscribe=("a", "b"))
    assert kinds == [ENDPOINT_TYPE]
    assert effects[-1].names == {"b"}


def test_state_of_the_world_gives_an_unknown_endpoint_an_empty_body():
    stream = Stream(target("a"), sotw)
    kinds, effects = stream.ask(ENDPOINT_TYPE, nonce=stream.nonces[ENDPOINT_TYPE], subscribe=("a", "x"))
    assert kinds == [ENDPOINT_TYPE]
    assert effects[-1].names == set()
    assert b"\n\x01x" in effects[-1].frame
