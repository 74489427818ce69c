"""Situations of one stream, one by one; the state machine beside this file mixes them."""

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.errors import ErrorCode
from meshcore.xds import bounds, delta, sotw
from meshcore.xds.bounds import MOST_STRANGE
from meshcore.xds.effects import Acked, Close, Expired, Nacked, Send
from meshcore.xds.frames import Frames
from meshcore.xds.request import Rejection, Request
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.session import REMOVAL_DELAY, WARMING_DELAY, AdsSession
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, NAME_TABLE_TYPE, ROUTE_TYPE, SECRET_TYPE


def target(clusters="", route="1", endpoints="1", listener="1"):
    packed = [PackedResource.pack(CLUSTER_TYPE, name, name.encode()) for name in clusters]
    packed += [PackedResource.pack(ENDPOINT_TYPE, name, endpoints.encode()) for name in clusters]
    packed += [PackedResource.pack(LISTENER_TYPE, "l", listener.encode())]
    packed += [PackedResource.pack(ROUTE_TYPE, "r", route.encode())]
    return ResourceSet.of(packed)


class Stream:
    """A client that has subscribed to everything and acknowledged it, unless told otherwise."""

    def __init__(self, first, front=delta):
        self.session = AdsSession(front, Frames())
        self.repeats = front is sotw
        self.names = {}
        self.now = 0.0
        self.session.resources_changed(first, 1, self.now)
        self.nonces = {}
        names = list(first.of_type(CLUSTER_TYPE))
        for type_url, wanted in ((CLUSTER_TYPE, ()), (ENDPOINT_TYPE, names), (LISTENER_TYPE, ()), (ROUTE_TYPE, ["r"])):
            self.ask(type_url, subscribe=wanted)
        self.settle()

    def took(self, effects):
        for effect in effects:
            if isinstance(effect, Send):
                self.nonces[effect.type_url] = effect.nonce
        return [effect.type_url for effect in effects if isinstance(effect, Send)], effects

    def ask(self, type_url, **request):
        if "subscribe" in request:
            self.names[type_url] = request["subscribe"]
        elif self.repeats:
            request["subscribe"] = self.names.get(type_url, ())
        return self.took(self.session.request_received(Request(type_url=type_url, **request), self.now))

    def ack(self, type_url, **request):
        return self.ask(type_url, nonce=self.nonces[type_url], **request)

    def change(self, resources, revision=2):
        return self.took(self.session.resources_changed(resources, revision, self.now))

    def settle(self):
        while waiting := [kind for kind, channel in self.session.channels.items() if channel.flight is not None]:
            for kind in waiting:
                self.ack(kind)


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


def too_much(stream, type_url, **request):
    _, effects = stream.ask(type_url, **request)
    return [one.code for one in effects if isinstance(one, Close)] == [ErrorCode.RESOURCE_EXHAUSTED]


@pytest.mark.parametrize("front", [delta, sotw])
def test_names_that_do_not_exist_are_bounded_by_what_there_is_and_what_has_gone_is_not_held_against_anybody(front):
    many = [f"x{number}" for number in range(MOST_STRANGE + 4)]
    stream = Stream(target("ab"), front)
    assert not too_much(stream, ENDPOINT_TYPE, subscribe=["a", "b", *many])
    assert too_much(Stream(target("ab"), front), ENDPOINT_TYPE, subscribe=["a", "b", *many, "one more"])
    stream.ack(ENDPOINT_TYPE)
    stream.change(target("a"))
    assert not too_much(stream, ENDPOINT_TYPE, subscribe=["a", *many])
    assert too_much(stream, ENDPOINT_TYPE, subscribe=["a", "one more", *many])


def test_the_names_of_all_types_of_a_stream_are_bounded_together(monkeypatch):
    monkeypatch.setattr(bounds, "MOST_NAMES", 100)
    stream = Stream(target("ab"))
    assert not too_much(stream, "odd", subscribe=[f"x{number}" for number in range(97)])
    assert not too_much(stream, "odd", unsubscribe=["x0"])
    assert not too_much(stream, "odder", subscribe=["x"])
    assert too_much(stream, SECRET_TYPE, subscribe=["x"])


def test_of_types_that_do_not_exist_few_names_are_taken():
    assert not too_much(Stream(target("ab")), "odd", subscribe=[f"x{number}" for number in range(1000)])
    assert too_much(Stream(target("ab")), "odd", subscribe=[f"x{number}" for number in range(1001)])


def test_what_a_client_says_that_it_holds_is_bounded_by_what_there_is():
    session = AdsSession(delta, Frames())
    session.resources_changed(target("ab"), 1, 0.0)
    many = dict.fromkeys((f"x{number}" for number in range(MOST_STRANGE + 4)), "1")
    [sent] = session.request_received(Request(type_url=CLUSTER_TYPE, initial_versions={"a": "1", **many}), 0.0)
    assert sent.removed == many.keys(), "as many may have gone at once"
    held = {**many, "x": "1"}
    [refused] = session.request_received(Request(type_url=ENDPOINT_TYPE, initial_versions=held), 0.0)
    assert refused.code is ErrorCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("front", [delta, sotw])
def test_what_is_kept_of_what_does_not_exist_is_known_and_let_go(front):
    stream = Stream(target("ab"), front)
    assert stream.session.burden == 0
    stream.ask(ENDPOINT_TYPE, subscribe=["a", "b", "x" * 1000, "y" * 1000])
    assert 2000 < stream.session.burden < 4000
    stream.ack(ENDPOINT_TYPE)
    before = stream.session.burden
    stream.ask(SECRET_TYPE, subscribe=["z" * 1000])
    assert stream.session.burden > before + 1000
    stream.ask(SECRET_TYPE, **({"unsubscribe": ["z" * 1000]} if front is delta else {"subscribe": ["s"]}))
    assert stream.session.burden < before + 1000


def test_what_a_client_came_with_burdens_until_it_has_answered():
    session = AdsSession(delta, Frames())
    session.resources_changed(target("ab"), 1, 0.0)
    came = {"a": "1", **dict.fromkeys((f"x{number}" for number in range(100)), "1")}
    [sent] = session.request_received(Request(type_url=CLUSTER_TYPE, initial_versions=came), 0.0)
    assert session.burden > 100 * 100
    session.request_received(Request(type_url=CLUSTER_TYPE, nonce=sent.nonce), 0.0)
    assert session.burden == 0


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


def test_state_of_the_world_sends_whole_lists_of_clusters_and_keeps_those_that_are_to_go():
    stream = Stream(target("ab"), sotw)
    kinds, _ = stream.change(target("ac", route="to c"))
    assert kinds == [CLUSTER_TYPE]
    held = stream.session.channels[CLUSTER_TYPE].held
    assert set(held) == {"a", "b", "c"}
    stream.settle()
    assert set(stream.session.channels[CLUSTER_TYPE].held) == {"a", "c"}


def test_state_of_the_world_answers_added_names_only():
    stream = Stream(target("abc"), sotw)
    assert stream.ask(ENDPOINT_TYPE, nonce=stream.nonces[ENDPOINT_TYPE], subscribe=("a",))[0] == []
    kinds, effects = stream.ask(ENDPOINT_TYPE, nonce=stream.nonces[ENDPOINT_TYPE], subscribe=("a", "b"))
    assert kinds == [ENDPOINT_TYPE]
    assert effects[-1].names == {"b"}


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


def test_state_of_the_world_gives_an_unknown_endpoint_an_empty_body():
    stream = Stream(target("a"), sotw)
    kinds, effects = stream.ask(ENDPOINT_TYPE, nonce=stream.nonces[ENDPOINT_TYPE], subscribe=("a", "x"))
    assert kinds == [ENDPOINT_TYPE]
    assert effects[-1].names == set()
    assert b"\n\x01x" in effects[-1].frame


@pytest.mark.parametrize("front", [delta, sotw])
def test_a_revision_is_not_settled_before_its_removals_are_answered(front):
    stream = Stream(target("ab"), front)
    stream.change(target("b", route="2"))
    stream.ack(ROUTE_TYPE)
    assert stream.session.channels[CLUSTER_TYPE].flight is not None
    assert stream.session.settled_revision == 1
    stream.settle()
    assert stream.session.settled_revision == 2
