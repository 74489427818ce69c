"""The stream of an istiod, by what it is known to do."""

import pytest
from galley.core.mcp.effects import Acked, Close, Nacked, Push, Request, Stale
from galley.core.mcp.kinds import WIRE_KINDS, kind_of_type
from galley.core.mcp.view import Collection, ConfigView, Entry
from galley.core.mcp.xds_session import MOST_TYPES, XdsSession
from hypothesis import given, settings
from hypothesis import strategies as st

VS = "networking.istio.io/v1/VirtualService"
OLD_VS = "networking.istio.io/v1alpha3/VirtualService"


def view_of(revision, *names):
    entries = {name: Entry(name, str(revision), b"") for name in names}
    return ConfigView(revision, {("networking.istio.io", "virtualservices"): Collection(str(revision), entries)})


def started(*names):
    session = XdsSession("s")
    session.on_view(view_of(1, *names))
    return session


def test_the_first_request_is_the_first_whatever_nonce_it_carries():
    (push,) = started("shop/a").on_request(Request(VS, "2026-11-20 15:00:00.1 +0000 UTC"))
    assert [entry.name for entry in push.entries] == ["shop/a"]


@pytest.mark.parametrize(
    "topic",
    [
        "networking.istio.io/v1/Gateway",
        "core/v1alpha1/MeshConfig",
        "networking.istio.io/v1/Wonder",
        "v1/Secret",
        "core/v1/Secret",
        "core/v1/ConfigMap",
        "core/v1/Namespace",
        "istio.io/debug/syncz",
        "",
    ],
)
def test_empty_and_unknown_types_are_answered_at_once_and_once(topic):
    session = started("shop/a")
    (push,) = session.on_request(Request(topic, "clock"))
    assert (push.topic, push.entries) == (topic, ())
    assert not any(isinstance(effect, Push) for effect in session.on_view(view_of(2, "shop/b")))


def test_the_type_is_echoed_in_the_version_that_was_asked():
    session = started("shop/a")
    (new,) = session.on_request(Request(VS))
    (old,) = session.on_request(Request(OLD_VS))
    assert (new.topic, old.topic) == (VS, OLD_VS)
    assert new.entries == old.entries


def test_every_answer_is_the_whole_state():
    session = started("shop/a", "shop/b")
    (push,) = session.on_request(Request(VS))
    session.on_request(Request(VS, push.nonce))
    (again,) = session.on_view(view_of(2, "shop/b"))
    assert [entry.name for entry in again.entries] == ["shop/b"]


def test_an_ack_is_told_a_nack_too_and_a_stale_nonce_is_ignored():
    session = started("shop/a")
    (push,) = session.on_request(Request(VS))
    assert session.on_request(Request(VS, "clock")) == (Stale(VS),)
    assert session.on_request(Request(VS, push.nonce)) == (Acked(VS, "1"),)
    (again,) = session.on_view(view_of(2, "shop/b"))
    assert session.on_request(Request(VS, again.nonce, (13, "no"))) == (Nacked(VS, "2", 13, "no"),)


def test_one_answer_at_a_time():
    session = started("shop/a")
    (push,) = session.on_request(Request(VS))
    assert session.on_view(view_of(2, "shop/b")) == ()
    _, again = session.on_request(Request(VS, push.nonce))
    assert again.version == "2"


def test_a_stream_cannot_ask_for_ever_more():
    session = started()
    for number in range(MOST_TYPES):
        session.on_request(Request(f"networking.istio.io/v1/Kind{number}"))
    (close,) = session.on_request(Request("networking.istio.io/v1/OneMore"))
    assert isinstance(close, Close)


def test_nothing_but_istios_kinds_ever_leaves():
    assert {kind.group.rpartition(".istio.io")[1] for kind in WIRE_KINDS} == {".istio.io"}
    assert kind_of_type("networking.istio.io/v1beta1/Sidecar").plural == "sidecars"
    for topic in ("networking.istio.io/v1", "networking.istio.io/vx/Sidecar", "networking.istio.io/v1/sidecar"):
        assert kind_of_type(topic) is None


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["change", "ack", "noise"]), st.sampled_from(["a", "b", "c"]))))
def test_whoever_acks_ends_with_what_there_is(steps):
    session, content, revision, out, held = started(), set(), 1, None, None

    def take(effects):
        nonlocal out
        for effect in effects:
            if isinstance(effect, Push):
                assert out is None
                out = effect

    def acknowledge():
        nonlocal out, held
        held, nonce, out = {entry.name for entry in out.entries}, out.nonce, None
        take(session.on_request(Request(VS, nonce)))

    take(session.on_request(Request(VS, "clock")))
    for step, name in steps:
        if step == "change":
            revision += 1
            content ^= {name}
            take(session.on_view(view_of(revision, *content)))
        elif step == "noise":
            assert session.on_request(Request(VS, name)) == (Stale(VS),)
        elif out is not None:
            acknowledge()
    while out is not None:
        acknowledge()
    assert held == content
