"""Packed resources, sets that share what did not change, and references that lead nowhere."""

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2
from meshcore.xds.origin import ConfigRef
from meshcore.xds.references import dangling
from meshcore.xds.resource import PackedResource, ResourceSet, absent, empty_resource
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE


def test_the_version_is_the_content():
    one = PackedResource.pack(CLUSTER_TYPE, "a", cluster_pb2.Cluster(name="a"))
    assert one == PackedResource.pack(CLUSTER_TYPE, "a", cluster_pb2.Cluster(name="a").SerializeToString())
    assert one != PackedResource.pack(CLUSTER_TYPE, "a", cluster_pb2.Cluster(name="a", alt_stat_name="b"))
    assert one.exists
    assert not absent(CLUSTER_TYPE, "a").exists


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 20_000, 3_000_000])
def test_a_message_has_the_body_behind_its_head(size):
    one = PackedResource.pack(CLUSTER_TYPE, "a", b"b" * size)
    delta = discovery_pb2.DeltaDiscoveryResponse.FromString(one.head_in_delta + one.body).resources[0]
    assert (delta.name, delta.version, delta.resource.type_url) == ("a", one.version, CLUSTER_TYPE)
    sotw = discovery_pb2.DiscoveryResponse.FromString(one.head_in_sotw + one.body).resources[0]
    assert (sotw.type_url, sotw.value, delta.resource.value) == (CLUSTER_TYPE, one.body, one.body)


def test_an_empty_resource_has_its_name_and_nothing_else():
    stand_in = empty_resource(ENDPOINT_TYPE, "outbound|80||a")
    assert endpoint_pb2.ClusterLoadAssignment.FromString(stand_in.body).cluster_name == "outbound|80||a"
    assert route_pb2.RouteConfiguration.FromString(empty_resource(ROUTE_TYPE, "80").body).name == "80"
    assert empty_resource(CLUSTER_TYPE, "a") is None


def test_where_something_shorter_tells_the_content_the_version_is_its_hash():
    one, other = (PackedResource.pack(ROUTE_TYPE, "a", body, told=b"short") for body in (b"1", b"2"))
    assert one == other
    assert one.version == PackedResource.pack(ROUTE_TYPE, "a", b"short").version
    assert one != PackedResource.pack(ROUTE_TYPE, "a", b"1", told=b"")


def test_fields_more_make_another_version_whatever_the_revision_is():
    fields = cluster_pb2.Cluster(alt_stat_name="b").SerializeToString()
    one, later = (
        PackedResource.pack(CLUSTER_TYPE, "a", cluster_pb2.Cluster(name="a"), (ConfigRef("Service", "n", "a", number),))
        for number in (1, 2)
    )
    assert cluster_pb2.Cluster.FromString(one.extended(fields).body).alt_stat_name == "b"
    assert one.extended(fields).body.startswith(one.body)
    assert one.extended(fields) == later.extended(fields)
    assert len({one.version, one.extended(fields).version, one.extended(fields + fields).version}) == 3
    assert one.extended(fields).origins == one.origins


def test_a_set_shares_the_types_that_did_not_change():
    cluster = PackedResource.pack(CLUSTER_TYPE, "a", b"1")
    old = ResourceSet.of([cluster, PackedResource.pack(ENDPOINT_TYPE, "a", b"1")])
    new = ResourceSet.of([cluster, PackedResource.pack(ENDPOINT_TYPE, "a", b"2")]).sharing(old)
    assert new.of_type(CLUSTER_TYPE) is old.of_type(CLUSTER_TYPE)
    assert new.of_type(ENDPOINT_TYPE) is not old.of_type(ENDPOINT_TYPE)
    assert new.sharing(None) is new


def wrapped(message):
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def test_references_that_lead_nowhere_are_found():
    manager = http_connection_manager_pb2.HttpConnectionManager()
    manager.rds.route_config_name = "80"
    listener = listener_pb2.Listener(name="l")
    listener.filter_chains.add().filters.add(name="hcm").typed_config.CopyFrom(wrapped(manager))
    tcp = tcp_proxy_pb2.TcpProxy(cluster="gone")
    listener.filter_chains.add().filters.add(name="tcp").typed_config.CopyFrom(wrapped(tcp))
    routes = route_pb2.RouteConfiguration(name="80")
    action = routes.virtual_hosts.add(name="v", domains=["*"]).routes.add().route
    action.weighted_clusters.clusters.add(name="a").weight.value = 1
    action.weighted_clusters.clusters.add(name="missing").weight.value = 1
    cluster = cluster_pb2.Cluster(name="a", type=cluster_pb2.Cluster.EDS)
    made = ResourceSet.of(
        [
            PackedResource.pack(LISTENER_TYPE, "l", listener),
            PackedResource.pack(ROUTE_TYPE, "80", routes),
            PackedResource.pack(CLUSTER_TYPE, "a", cluster),
        ]
    )
    assert {(one.from_name, one.to_type, one.to_name) for one in dangling(made)} == {
        ("l", CLUSTER_TYPE, "gone"),
        ("80", CLUSTER_TYPE, "missing"),
        ("a", ENDPOINT_TYPE, "a"),
    }
