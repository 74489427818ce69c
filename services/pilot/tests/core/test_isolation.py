"""Which parts of a resource are held back when clients refuse it, and in how many messages that is found."""

import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.xds import delta, registry
from meshcore.xds.channel import Channel
from meshcore.xds.origin import VIRTUAL_HOST_METADATA, ConfigRef, metadata_field
from meshcore.xds.request import Rejection, Request
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.isolation import Form, Isolation
from pilot.core.isolation.parts import DEFAULT_CHAIN, closed, parts_of, with_parts
from pilot.core.isolation.quarantine import MOST_ATTEMPTS
from pilot.core.node import parse_node
from pilot.core.proxy import ProxyClass, ProxyType

ONE = ProxyClass(ProxyType.SIDECAR, "shop")


def routes(**hosts):
    """A route configuration; the virtual hosts are told apart by their only route's prefix."""
    made = route_pb2.RouteConfiguration(name="80")
    for name, prefix in hosts.items():
        host = made.virtual_hosts.add(name=name, domains=[f"{name}.shop"])
        host.MergeFromString(metadata_field(VIRTUAL_HOST_METADATA, (ConfigRef("VirtualService", "shop", name, 2),)))
        host.routes.add(name="r").match.prefix = prefix
    return PackedResource.pack(ROUTE_TYPE, "80", made)


def prefixes(resource):
    found = registry.parse(ROUTE_TYPE, resource.body)
    return {
        host.name: str(host.routes[0].direct_response.status)
        if host.routes[0].HasField("direct_response")
        else host.routes[0].match.prefix
        for host in found.virtual_hosts
    }


class Client:
    """Refuses what its rule says, in its words; takes the rest. Counts what it is sent."""

    def __init__(self, refuses, words="no good"):
        self.isolation = Isolation()
        self.refuses = refuses
        self.words = words
        self.has = None
        self.sent = 0
        self._shown = None
        self._channel = Channel(ROUTE_TYPE)

    def give(self, resource):
        """Until nothing more is to be sent."""
        made = ResourceSet.of([resource])
        while True:
            target = self.isolation.applied(ONE, made).of_type(resource.type_url)[resource.name]
            if self._shown is not None and target.version == self._shown.version:
                return self
            self._shown = target
            self.sent += 1
            assert self.sent < 500, "it never ends"
            if self.refuses(prefixes(target)):
                self.isolation.refused(ONE, self.words, [target], made, [self._channel])
            else:
                self.has = target
                self._channel.taken = {target.name: target}
                self.isolation.taken(ONE, [target])

    @property
    def held(self):
        return {one.part: one.form for one in self.isolation.held_back(ONE)}


def has_bad(found):
    return any(prefix.startswith("/bad") for prefix in found.values())


def test_a_lone_change_is_blamed_at_once_and_keeps_its_last_good_form():
    client = Client(has_bad).give(routes(a="/a", b="/b", c="/c")).give(routes(a="/a2", b="/bad", c="/c"))
    assert client.held == {"a": Form.LAST_GOOD, "b": Form.LAST_GOOD} or client.held == {"b": Form.LAST_GOOD}
    assert prefixes(client.has) == {"a": "/a2", "b": "/b", "c": "/c"}
    sent = client.sent
    client.give(routes(a="/a2", b="/bad", c="/c2"))
    assert (prefixes(client.has), client.sent) == ({"a": "/a2", "b": "/b", "c": "/c2"}, sent + 1)
    client.give(routes(a="/a2", b="/mended", c="/c2"))
    assert (prefixes(client.has), client.held, client.sent) == ({"a": "/a2", "b": "/mended", "c": "/c2"}, {}, sent + 2)


def test_another_bad_form_of_the_same_part_costs_one_refusal_and_the_good_one_stays():
    client = Client(has_bad).give(routes(a="/a", b="/b")).give(routes(a="/a", b="/bad"))
    sent = client.sent
    client.give(routes(a="/a", b="/bad2"))
    assert (prefixes(client.has), client.sent - sent) == ({"a": "/a", "b": "/b"}, 2)


def test_a_part_that_is_mended_and_broken_again_in_the_same_way_is_held_back_again():
    client = Client(has_bad, "c.shop is to blame").give(routes(b="/b", c="/c")).give(routes(b="/b", c="/bad"))
    client.words = "b.shop is to blame"
    client.give(routes(b="/bad", c="/bad"))
    client.words = "c.shop is to blame"
    client.give(routes(b="/bad", c="/c2")).give(routes(b="/bad", c="/bad"))
    assert client.held == {"b": Form.LAST_GOOD, "c": Form.LAST_GOOD}
    assert prefixes(client.has) == {"b": "/b", "c": "/c2"}


def test_a_search_that_never_ends_keeps_no_more_than_the_config_has():
    client = Client(has_bad, "b.shop is to blame").give(routes(b="/b"))
    for number in range(200):
        client.give(routes(b=f"/bad{number}", **{f"x{number}": "/x"}))
    [quarantine] = client.isolation._found[ONE].values()
    assert quarantine.good.keys() == {"b", "x199"}
    assert len(quarantine._refused) <= 1
    assert prefixes(client.has) == {"b": "/b", "x199": "/x"}


def test_words_that_name_a_virtual_host_or_its_place_spare_the_others_the_search():
    for words in ("domain b.shop is not right", "RouteConfigurationValidationError.VirtualHosts[1]: bad"):
        client = Client(has_bad, words).give(routes(a="/1", b="/1", c="/1")).give(routes(a="/2", b="/bad", c="/2"))
        assert client.held == {"b": Form.LAST_GOOD}
        assert client.sent == 3, "the first, the refused and the mended one"


def test_words_that_go_on_naming_a_part_that_is_held_back_blame_no_other():
    client = Client(lambda found: found.get("b") != "/1", "b.shop is to blame").give(routes(a="/1", b="/1"))
    client.refuses = lambda found: True
    before = client.has
    client.give(routes(a="/2", b="/2"))
    assert client.has is before
    assert client.held == {}
    assert client.sent <= 6


def test_a_part_without_a_good_form_is_shut_and_says_who_made_it():
    client = Client(has_bad).give(routes(a="/a", b="/bad"))
    assert client.held == {"b": Form.SHUT}
    assert prefixes(client.has) == {"a": "/a", "b": "503"}
    [held] = client.isolation.held_back(ONE)
    assert [str(config) for config in held.configs] == ["VirtualService/shop/b@2"]


def test_a_virtual_host_that_is_refused_in_every_form_is_left_out():
    client = Client(lambda found: "b" in found).give(routes(a="/a", b="/b"))
    assert client.held == {"b": Form.LEFT_OUT}
    assert prefixes(client.has) == {"a": "/a"}


def test_a_fault_in_no_part_ends_soon_and_the_client_keeps_what_it_had():
    client = Client(lambda found: len(found) > 2).give(routes(a="/a", b="/b"))
    before = client.has
    client.give(routes(a="/a", b="/b", c="/c"))
    assert prefixes(client.has) == {"a": "/a", "b": "/b"} == prefixes(before)
    assert client.held == {"c": Form.LEFT_OUT}
    everything = Client(lambda found: True).give(routes(a="/a", b="/b"))
    assert everything.has is None
    assert everything.sent <= 6
    everything.refuses = has_bad
    everything.give(routes(a="/a", b="/b2"))
    assert prefixes(everything.has) == {"a": "/a", "b": "/b2"}


def stream_of(engine, name, **known):
    """A stream that asks for its routes, saying what it has already; and what it is sent."""
    node = {"id": f"sidecar~10.0.0.1~{name}.shop~shop.svc.cluster.local", "metadata": {"NAMESPACE": "shop"}}
    stream = engine.connect(parse_node(node), delta, "", 0.0)
    stream.session.resources_changed(engine.target(stream), 1, 0.0)
    request = Request(type_url=ROUTE_TYPE, subscribe=("80",), initial_versions=known)
    return stream, stream.session.request_received(request, 0.0)


def refuse(engine, stream, sent):
    answer = Request(type_url=ROUTE_TYPE, nonce=sent.nonce, rejection=Rejection(13, "no good"))
    [nacked, *_] = stream.session.request_received(answer, 0.0)
    return engine.take_refusal(stream, ROUTE_TYPE, nacked.names, nacked.message, 0.0)


def test_who_came_with_routes_of_before_keeps_them_and_who_came_without_has_the_rest():
    made = ResourceSet.of([routes(a="/a", b="/bad")])
    engine = Engine(lambda snapshot, one: made, lambda *_: True, Debounce(0.1, 10))
    old, [sent] = stream_of(engine, "old", **{"80": "of-another-pilot"})
    assert refuse(engine, old, sent) == []
    fresh, [sent] = stream_of(engine, "fresh")
    assert sorted(refuse(engine, fresh, sent)) == [old.number, fresh.number]
    assert prefixes(engine.target(fresh).of_type(ROUTE_TYPE)["80"]) == {"a": "503", "b": "503"}
    assert prefixes(engine.target(old).of_type(ROUTE_TYPE)["80"]) == {"a": "/a", "b": "/bad"}, "what it refused already"
    assert old.session.resources_changed(engine.target(old), 2, 0.0) == ()
    while (move := fresh.session.resources_changed(engine.target(fresh), 2, 0.0)) != ():
        [sent] = move
        if has_bad(prefixes(fresh.session.channels[ROUTE_TYPE].held["80"])):
            refuse(engine, fresh, sent)
        else:
            fresh.session.request_received(Request(type_url=ROUTE_TYPE, nonce=sent.nonce), 0.0)
            engine.take_acknowledgement(fresh, ROUTE_TYPE, 0.0)
    assert prefixes(engine.target(fresh).of_type(ROUTE_TYPE)["80"]) == {"a": "/a", "b": "503"}
    assert [one.part for one in engine.held_back(fresh)] == ["b"]
    assert engine.held_back(old) == ()
    for stream in (old, fresh):
        engine.disconnect(stream)
    assert engine.isolation.held_back(fresh.proxy_class) == ()


def test_what_one_client_refuses_and_another_takes_is_that_clients_own_trouble():
    made = ResourceSet.of([routes(a="/a", b="/b")])
    engine = Engine(lambda snapshot, one: made, lambda *_: True, Debounce(0.1, 10))
    first, [to_first] = stream_of(engine, "first")
    second, [to_second] = stream_of(engine, "second")
    assert refuse(engine, first, to_first) == [], "the other has yet to answer"
    second.session.request_received(Request(type_url=ROUTE_TYPE, nonce=to_second.nonce), 0.0)
    assert engine.take_acknowledgement(second, ROUTE_TYPE, 0.0) == []
    third, [to_third] = stream_of(engine, "third")
    assert refuse(engine, third, to_third) == [], "the other has taken it"
    assert engine.held_back(second) == ()
    assert engine.target(second).of_type(ROUTE_TYPE)["80"] is made.of_type(ROUTE_TYPE)["80"]
    assert third.session.channels[ROUTE_TYPE].rejection is not None, "and is told of as ever"


def test_what_all_refuse_is_held_back_for_all_when_the_last_has_answered():
    made = ResourceSet.of([routes(a="/a", b="/bad")])
    engine = Engine(lambda snapshot, one: made, lambda *_: True, Debounce(0.1, 10))
    first, [to_first] = stream_of(engine, "first")
    second, [to_second] = stream_of(engine, "second")
    assert refuse(engine, first, to_first) == []
    assert sorted(refuse(engine, second, to_second)) == [first.number, second.number]
    assert len(engine.held_back(first)) == len(engine.held_back(second)) > 0


@settings(max_examples=150)
@given(st.lists(st.sampled_from(["good", "bad", "same"]), min_size=1, max_size=40), st.booleans())
def test_exactly_the_bad_parts_are_held_back(kinds, fresh):
    names = [f"h{number}" for number in range(len(kinds))]
    client = Client(has_bad)
    if not fresh:
        client.give(routes(**dict.fromkeys(names, "/old")))
    new = {"good": "/new", "bad": "/bad", "same": "/old"}
    client.give(routes(**{name: new[kind] for name, kind in zip(names, kinds, strict=True)}))
    bad = {name for name, kind in zip(names, kinds, strict=True) if kind == "bad"}
    stands = "503" if fresh else "/old"
    if client.sent < MOST_ATTEMPTS:
        assert set(client.held) == bad
        assert prefixes(client.has) == {
            name: stands if kind == "bad" else new[kind] for name, kind in zip(names, kinds, strict=True)
        }
    assert set(client.held) >= bad
    assert client.sent <= MOST_ATTEMPTS + 4


def test_a_chain_without_a_good_form_closes_what_it_would_have_served():
    made = listener_pb2.Listener(name="l")
    made.filter_chains.add(name="a").filter_chain_match.destination_port.value = 80
    made.filter_chains[0].transport_socket.name = "tls"
    made.filter_chains.add(name="a").filter_chain_match.destination_port.value = 81
    made.default_filter_chain.name = "rest"
    resource = PackedResource.pack(LISTENER_TYPE, "l", made)
    first, second, default = parts_of(resource)
    assert [part.key for part in (first, second, default)] == ["a", "a#2", DEFAULT_CHAIN]
    shut = registry.parse(LISTENER_TYPE, with_parts(resource, {"a": closed(resource, first)}).body)
    assert [chain.filter_chain_match.destination_port.value for chain in shut.filter_chains] == [80, 81]
    assert shut.filter_chains[0].filters[0].name == "envoy.filters.network.direct_response"
    assert not shut.filter_chains[0].HasField("transport_socket")
    assert shut.default_filter_chain.name == "rest"
    assert parts_of(PackedResource.pack(CLUSTER_TYPE, "c", b"")) == ()


@pytest.mark.parametrize("unknown", [True, False])
def test_a_resource_that_goes_is_no_longer_searched(unknown):
    client = Client(has_bad).give(routes(a="/a", b="/bad"))
    assert client.held
    client.isolation.applied(ONE, ResourceSet.of([]) if unknown else ResourceSet.of([routes(a="/a", b="/b")]))
    assert not client.held
