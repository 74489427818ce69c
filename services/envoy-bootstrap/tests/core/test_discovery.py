from envoy.service.discovery.v3 import discovery_pb2
from envoy_bootstrap.core.discovery import DeltaDiscovery, SotwDiscovery, Versioned
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE, SECRET_TYPE


def secrets(**versions):
    return {SECRET_TYPE: {name: Versioned(version, version.encode()) for name, version in versions.items()}}


def delta(type_url=SECRET_TYPE, subscribe=(), unsubscribe=(), nonce="", known=None, error=""):
    request = discovery_pb2.DeltaDiscoveryRequest(
        type_url=type_url,
        resource_names_subscribe=subscribe,
        resource_names_unsubscribe=unsubscribe,
        response_nonce=nonce,
        initial_resource_versions=known or {},
    )
    request.error_detail.message = error
    return request


def sent(responses):
    return [(r.name, r.version) for response in responses for r in response.resources]


def test_a_secret_that_is_not_there_yet_is_held_and_sent_when_it_comes():
    session = DeltaDiscovery({})
    assert session.request_received(delta(subscribe=["default"])) == []
    responses = session.resources_changed(secrets(default="1", ROOTCA="1"))
    assert sent(responses) == [("default", "1")]
    assert list(responses[0].removed_resources) == []


def test_an_ack_and_a_nack_are_not_answered():
    session = DeltaDiscovery(secrets(default="1"))
    [response] = session.request_received(delta(subscribe=["default"]))
    assert session.request_received(delta(nonce=response.nonce)) == []
    assert session.request_received(delta(nonce=response.nonce, error="bad")) == []
    assert session.resources_changed(secrets(default="1")) == []
    assert sent(session.resources_changed(secrets(default="2"))) == [("default", "2")]


def test_a_client_that_brings_its_versions_is_sent_the_difference():
    session = DeltaDiscovery(secrets(default="2", ROOTCA="1"))
    request = delta(subscribe=["default", "ROOTCA"], known={"default": "1", "ROOTCA": "1"})
    assert sent(session.request_received(request)) == [("default", "2")]


def test_who_asks_for_everything_is_answered_even_with_nothing():
    session = DeltaDiscovery({CLUSTER_TYPE: {"kept": Versioned("1", b"")}})
    assert sent(session.request_received(delta(CLUSTER_TYPE))) == [("kept", "1")]
    [empty] = session.request_received(delta(LISTENER_TYPE))
    assert (empty.type_url, len(empty.resources)) == (LISTENER_TYPE, 0)
    assert session.request_received(delta(LISTENER_TYPE, nonce=empty.nonce)) == []


def test_subscribing_again_sends_again_and_unsubscribing_ends_it():
    session = DeltaDiscovery(secrets(default="1"))
    session.request_received(delta(subscribe=["default"]))
    assert sent(session.request_received(delta(subscribe=["default"]))) == [("default", "1")]
    session.request_received(delta(unsubscribe=["default"]))
    assert session.resources_changed(secrets(default="2")) == []


def test_the_state_of_the_world_holds_all_that_was_asked_for():
    session = SotwDiscovery(secrets(default="1", ROOTCA="1"))
    first = discovery_pb2.DiscoveryRequest(type_url=SECRET_TYPE, resource_names=["default", "ROOTCA"])
    [response] = session.request_received(first)
    assert [item.value for item in response.resources] == [b"1", b"1"]
    first.response_nonce, first.version_info = response.nonce, response.version_info
    assert session.request_received(first) == []
    [response] = session.resources_changed(secrets(default="2", ROOTCA="1"))
    assert [item.value for item in response.resources] == [b"1", b"2"]
    assert session.request_received(first) == [], "the nonce of the first answer is stale now"


def test_the_state_of_the_world_holds_an_answer_too():
    session = SotwDiscovery({})
    request = discovery_pb2.DiscoveryRequest(type_url=SECRET_TYPE, resource_names=["default"])
    assert session.request_received(request) == []
    [response] = session.resources_changed(secrets(default="1"))
    assert len(response.resources) == 1


NAMES = st.sampled_from(["default", "ROOTCA", "other"])
STEPS = st.one_of(
    st.tuples(st.just("subscribe"), st.lists(NAMES, max_size=2)),
    st.tuples(st.just("unsubscribe"), st.lists(NAMES, max_size=2)),
    st.tuples(st.just("ack"), st.just([])),
    st.tuples(st.just("change"), st.lists(NAMES, max_size=3)),
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(STEPS, max_size=20))
def test_only_what_is_wanted_is_sent_and_only_once_per_version(steps):
    versions, wanted, has = {"default": 0}, set(), {}
    session = DeltaDiscovery(secrets(default="0"))
    for step, names in steps:
        if step == "change":
            for name in names:
                versions[name] = versions.get(name, -1) + 1
            responses = session.resources_changed(secrets(**{name: str(v) for name, v in versions.items()}))
        else:
            wanted = wanted | set(names) if step == "subscribe" else wanted - set(names)
            for name in names:
                has.pop(name, None)
            subscribe, unsubscribe = (names, []) if step == "subscribe" else ([], names)
            responses = session.request_received(delta(subscribe=subscribe, unsubscribe=unsubscribe))
        for name, version in sent(responses):
            assert name in wanted
            assert has.get(name) != version
            has[name] = version
        assert {name for name in wanted if name in versions} == {name for name in wanted if name in has}
        assert all(has[name] == str(versions[name]) for name in wanted if name in versions)


def acknowledgement(nonce, type_url=SECRET_TYPE):
    return discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, response_nonce=nonce)


def test_what_a_client_has_said_of_a_resource_is_known_by_its_version():
    session = DeltaDiscovery(secrets(default="1", ROOTCA="1"))
    assert session.standing(SECRET_TYPE, "ROOTCA") is None
    [response] = session.request_received(delta(subscribe=["ROOTCA"]))
    assert session.standing(SECRET_TYPE, "default") is None
    assert session.standing(SECRET_TYPE, "ROOTCA").taken == ""
    session.request_received(acknowledgement(response.nonce))
    assert session.standing(SECRET_TYPE, "ROOTCA").taken == "1"
    [response] = session.resources_changed(secrets(default="1", ROOTCA="2"))
    session.request_received(delta(nonce=response.nonce, error="no root in it"))
    standing = session.standing(SECRET_TYPE, "ROOTCA")
    assert (standing.taken, standing.refused, standing.reason) == ("1", "2", "no root in it")


def test_a_client_that_comes_back_with_a_version_has_it():
    session = DeltaDiscovery(secrets(ROOTCA="1"))
    assert session.request_received(delta(subscribe=["ROOTCA"], known={"ROOTCA": "1"})) == []
    assert session.standing(SECRET_TYPE, "ROOTCA").taken == "1"


def test_state_of_the_world_knows_what_was_acknowledged_too():
    session = SotwDiscovery(secrets(ROOTCA="1"))
    [response] = session.request_received(
        discovery_pb2.DiscoveryRequest(type_url=SECRET_TYPE, resource_names=["ROOTCA"])
    )
    assert session.standing(SECRET_TYPE, "ROOTCA").taken == ""
    answer = discovery_pb2.DiscoveryRequest(
        type_url=SECRET_TYPE, resource_names=["ROOTCA"], response_nonce=response.nonce
    )
    assert session.request_received(answer) == []
    assert session.standing(SECRET_TYPE, "ROOTCA").taken == "1"
