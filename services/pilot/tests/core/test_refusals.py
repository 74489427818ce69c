"""From an Envoy's words to the objects that are to blame."""

import pytest
from envoy.config.route.v3 import route_pb2
from meshcore.xds import delta
from meshcore.xds.origin import VIRTUAL_HOST_METADATA, ConfigRef, metadata_field
from meshcore.xds.request import Rejection, Request
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ROUTE_TYPE
from pilot.core import status
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.node import parse_node
from pilot.core.refusals import Refusing, blamed, refusals

A, B, RULE = (
    ConfigRef("Service", "shop", "a", 3),
    ConfigRef("Service", "shop", "b", 4),
    ConfigRef("VirtualService", "shop", "b", 9),
)


def cluster(name, *origins):
    return PackedResource.pack(CLUSTER_TYPE, name, b"", origins)


def routes():
    """Two virtual hosts: of a service, and of one with a VirtualService."""
    made = route_pb2.RouteConfiguration(name="80")
    for name, refs in (("a.shop:80", (A.unversioned,)), ("b.shop:80", (RULE, B.unversioned))):
        host = made.virtual_hosts.add(name=name, domains=[name.partition(":")[0], f"*.{name}"])
        host.MergeFromString(metadata_field(VIRTUAL_HOST_METADATA, refs))
        host.routes.add(name="r").match.prefix = "/"
    first = made.virtual_hosts[1].routes.add(name="mine")
    first.MergeFromString(metadata_field(4, (RULE,)))
    return PackedResource.pack(ROUTE_TYPE, "80", made, (), (A, RULE, B))


@pytest.mark.parametrize(
    ("message", "named", "expected"),
    [
        ("Error adding/updating cluster(s) outbound|80||a: bad", ("outbound|80||a",), (A,)),
        ("Error adding/updating cluster(s) outbound|80||a.b: bad", ("outbound|80||a", "outbound|80||b"), (A, B)),
        ("outbound|80||a: x, outbound|80||b: y", ("outbound|80||a", "outbound|80||b"), (A, B)),
        ("something is wrong", ("outbound|80||a", "outbound|80||b"), (A, B)),
    ],
)
def test_a_cluster_that_is_named_is_the_one_to_blame(message, named, expected):
    found = blamed(message, (cluster("outbound|80||a", A), cluster("outbound|80||b", B)))
    assert (found.resources, found.configs) == (named, expected)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Proto constraint validation failed (RouteConfigurationValidationError.VirtualHosts[0]: bad)", (A,)),
        ("RouteConfigurationValidationError.VirtualHosts[1]: embedded | VirtualHostValidationError.Routes[1]", (RULE,)),
        (
            "RouteConfigurationValidationError.VirtualHosts[1]: embedded | VirtualHostValidationError.Routes[0]",
            (RULE, B),
        ),
        ("Only unique values for domains are permitted. Duplicate entry of domain b.shop", (RULE, B)),
        ("RouteConfigurationValidationError.VirtualHosts[7]: out of reach", (A, RULE, B)),
        ("the route configuration is too large", (A, RULE, B)),
    ],
)
def test_the_part_of_a_route_configuration_that_the_words_mean(message, expected):
    assert blamed(message, (routes(),)).configs == expected


def test_a_patch_of_a_resource_is_always_among_those_to_blame():
    patch = ConfigRef("EnvoyFilter", "istio-system", "tweak", 2)
    whole = routes()
    patched = PackedResource.pack(ROUTE_TYPE, "80", whole.body, (), (*whole.origins, patch))
    assert blamed("no good: VirtualHosts[0]", (patched,)).configs == (patch, A)


NODE = {"id": "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local", "metadata": {"NAMESPACE": "shop"}}


def test_what_many_proxies_refuse_is_one_line_until_it_is_mended():
    engine = Engine(lambda snapshot, one: ResourceSet.of([]), lambda *_: True, Debounce(0.1, 10))
    bad = ResourceSet.of([cluster("x", A), cluster("y", B)])
    streams = []
    for number in range(200):
        node = NODE | {"id": f"sidecar~10.0.0.1~p{number:03}.shop~shop.svc.cluster.local"}
        stream = engine.connect(parse_node(node), delta, "", 0.0)
        stream.session.resources_changed(bad, 3, 0.0)
        [sent] = stream.session.request_received(Request(type_url=CLUSTER_TYPE), 0.0)
        answer = Request(type_url=CLUSTER_TYPE, nonce=sent.nonce, rejection=Rejection(3, "cluster(s) x: is\n no good"))
        stream.session.request_received(answer, 0.0)
        streams.append(stream)
    [row] = status.refusal_rows(engine)
    assert row == {
        "config": str(A),
        "type": "cds",
        "resources": ["x"],
        "message": "cluster(s) x: is no good",
        "count": 200,
        "proxies": [f"p{number:03}.shop" for number in range(5)],
    }
    assert status.sync_row(streams[0])["resources"]["cds"]["configs"] == [str(A)]
    mended = ResourceSet.of([PackedResource.pack(CLUSTER_TYPE, "x", b"2", (A,)), cluster("y", B)])
    for stream in streams:
        [sent] = stream.session.resources_changed(mended, 4, 1.0)
        stream.session.request_received(Request(type_url=CLUSTER_TYPE, nonce=sent.nonce), 1.0)
    assert refusals(Refusing(s.proxy.id, s.session.channels) for s in streams) == ()
