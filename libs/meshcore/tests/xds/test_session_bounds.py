"""What one client may make a stream keep."""

import pytest
from meshcore.errors import ErrorCode
from meshcore.xds import bounds, delta, sotw
from meshcore.xds.bounds import MOST_STRANGE
from meshcore.xds.effects import Close
from meshcore.xds.frames import Frames
from meshcore.xds.request import Request
from meshcore.xds.session import AdsSession
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, SECRET_TYPE
from session_stream import Stream, target


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
