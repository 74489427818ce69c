"""What streams begin with is read once for all that begin with the same, and nothing else is taken for the same."""

import random
import tracemalloc

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from meshcore.xds import delta, sotw, wire
from meshcore.xds.openings import SMALL, Openings
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.subscription import Subscription
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, ROUTE_TYPE

NAMES = tuple(f"outbound|80||service-{number}.shop.example" for number in range(50))
VERSIONS = {name: f"{number:016x}" for number, name in enumerate(NAMES)}


def node(name, **more):
    return discovery_pb2.DeltaDiscoveryRequest(node=base_pb2.Node(id=name, **more)).SerializeToString()


def request(versions=VERSIONS, type_url=ENDPOINT_TYPE, names=NAMES, order=None):
    """Its entries of `versions` in that order, as each Envoy has one of its own."""
    made = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
    entries = list(versions.items())
    random.Random(order).shuffle(entries)
    return made.SerializeToString() + b"".join(
        wire.chunk(5, wire.text(1, name) + wire.text(2, version)) for name, version in entries
    )


def resources(**bodies):
    packed = [PackedResource.pack(CLUSTER_TYPE, name, body.encode()) for name, body in bodies.items()]
    return ResourceSet.of(packed).of_type(CLUSTER_TYPE)


def test_the_same_request_is_one_object_whoever_says_it():
    openings = Openings()
    first, one = openings.read(delta, node("a") + request())
    second, other = openings.read(delta, node("b") + node("", cluster="shop") + request())
    assert first is second
    assert (one.id, other.id, other.cluster) == ("a", "b", "shop")
    assert first == delta.parse(request())[0]
    assert openings.first_wish(delta, first) is openings.first_wish(delta, second)
    assert openings.first_wish(delta, first).held == VERSIONS


def test_versions_in_another_order_say_the_same():
    openings = Openings()
    one, other = request(order=1), request(order=2)
    assert one != other
    assert openings.read(delta, one)[0] is openings.read(delta, other)[0]


@pytest.mark.parametrize(
    "other",
    [
        request(VERSIONS | {NAMES[7]: "f" * 16}),
        request(type_url=ROUTE_TYPE + "s" * (len(ENDPOINT_TYPE) - len(ROUTE_TYPE) - 1)),
        request(names=(*NAMES[:-1], NAMES[-1][::-1])),
        request() + wire.text(6, "nonce"),
    ],
)
def test_what_differs_anywhere_is_another_request(other):
    openings = Openings()
    first, _ = openings.read(delta, request())
    second, _ = openings.read(delta, other)
    assert second == delta.parse(other)[0] != first


def test_a_node_that_comes_late_is_read_all_the_same():
    openings = Openings()
    for name in ("a", "b"):
        read, came = openings.read(delta, node("", cluster="shop") + request() + node(name))
        assert (came.id, came.cluster) == (name, "shop")
        assert read.initial_versions == VERSIONS


def test_variants_do_not_share_requests():
    openings = Openings()
    names = discovery_pb2.DiscoveryRequest(type_url=ENDPOINT_TYPE, resource_names=NAMES).SerializeToString()
    named = [discovery_pb2.DiscoveryRequest(node=base_pb2.Node(id=name)).SerializeToString() for name in ("a", "b")]
    first, one = openings.read(sotw, named[0] + names)
    second, other = openings.read(sotw, named[1] + names)
    assert first is second
    assert (first.subscribe, first.type_url, one.id, other.id) == (NAMES, ENDPOINT_TYPE, "a", "b")
    assert openings.read(delta, names)[0] == delta.parse(names)[0] != first


@given(st.binary(max_size=40), st.integers(0, 3 * SMALL))
def test_what_cannot_be_read_is_refused_as_it_would_be_alone(start, cut):
    openings = Openings(small=0)
    for data in (start, start + request(), (node("a") + request())[:cut]):
        try:
            expected = delta.parse(data)
        except DecodeError:
            for _ in range(2):
                with pytest.raises(DecodeError):
                    openings.read(delta, data)
        else:
            for _ in range(2):
                assert openings.read(delta, data) == expected


def test_requests_are_forgotten_when_they_are_too_many():
    openings = Openings(budget=8 * 50_000)
    told = [request({name: f"{number}-{at}" for at, name in enumerate(NAMES)}) for number in range(40)]
    first, _ = openings.read(delta, told[0])
    for data in told:
        openings.read(delta, data)
    again, _ = openings.read(delta, told[0])
    assert again == first
    assert again is not first
    assert 4 <= len(openings._read) < 16
    assert openings._used <= 8 * 50_000
    assert len(openings._of_request) == len(openings._read)
    assert sum(map(len, openings._of_length.values())) <= len(openings._read)


def test_one_that_is_too_large_to_be_remembered_is_read_each_time():
    openings = Openings(budget=len(request()))
    assert openings.read(delta, request())[0] == openings.read(delta, request())[0]
    assert not openings._read


def test_nothing_is_left_when_nobody_comes():
    openings = Openings()
    read, _ = openings.read(delta, request())
    held = openings.holdings(ENDPOINT_TYPE, openings.first_wish(delta, read).held, resources(a="1"))
    openings.forget()
    assert not openings._read
    again, _ = openings.read(delta, request())
    assert again is not read
    assert openings.holdings(ENDPOINT_TYPE, again.initial_versions, resources(a="1")) is not held


def test_who_comes_with_what_it_is_to_have_holds_the_target_and_all_who_come_with_the_same_hold_one_mapping():
    openings, target = Openings(), resources(a="1", b="2")
    versions = {name: one.version for name, one in target.items()}
    assert openings.holdings(CLUSTER_TYPE, versions, target) is target
    older = {"a": target["a"].version, "b": "older", "c": "gone"}
    held = openings.holdings(CLUSTER_TYPE, older, target)
    assert held["a"] is target["a"]
    assert [(held[name].version, held[name].body) for name in "bc"] == [("older", b""), ("gone", b"")]
    assert openings.holdings(CLUSTER_TYPE, older, target) is held
    assert openings.holdings(CLUSTER_TYPE, dict(older), target) is held
    assert openings.holdings(CLUSTER_TYPE, older, resources(a="1", b="2")) is not held
    assert openings.holdings(CLUSTER_TYPE, {"a": versions["a"]}, target) == {"a": target["a"]}


@pytest.mark.timeout(600)  # a million names, each traced: a quarter of a minute of a processor
@pytest.mark.parametrize(("names", "text"), [(10_000, ""), (4, "x" * 1_000_000)])
def test_holdings_are_bounded_by_their_bytes(names, text):
    openings, target = Openings(), resources(a="1")
    tracemalloc.start()
    try:
        for number in range(100):
            openings.holdings(CLUSTER_TYPE, {f"{number}-{at}{text}": "v" for at in range(names)}, target)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert openings._held <= 96 << 20
    assert kept < 110 << 20
    assert openings._holdings
    openings.forget()
    assert openings._held == 0


def test_what_alone_is_too_large_to_be_remembered_is_made_each_time():
    openings, target = Openings(), resources(a="1")
    assert openings.holdings(CLUSTER_TYPE, {"x" * (30 << 20): "1"}, target)
    assert not openings._holdings


def test_equal_subscriptions_are_one_while_somebody_has_it():
    openings, names = Openings(), frozenset({"a", "b"})
    one = openings.shared_subscription(Subscription(names=names))
    assert openings.shared_subscription(Subscription(names=frozenset({"b", "a"}))) is one
    del one
    assert len(openings._subscriptions) == 0
