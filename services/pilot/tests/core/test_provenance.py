"""Every resource names the config objects that made it, in what Envoy keeps and beside it; revisions alone move
nothing."""

from pathlib import Path

import pytest
from meshcore.testing.golden import case_directories
from meshcore.xds import registry
from meshcore.xds.origin import ConfigRef, distinct, metadata_field, origins_in
from meshcore.xds.resource import PackedResource
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.config import Config
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

TESTDATA = Path(__file__).parents[1] / "testdata"
OF_THE_MESH = {
    "AllowAnyDynamicDNSCluster",
    "BlackHoleCluster",
    "PassthroughCluster",
    "InboundPassthroughCluster",
    "virtualOutbound",
    "virtualInbound",
    "http_proxy",
}
"""Made of the mesh config, which need not be written down."""
CATCH_ALL = {"allow_any", "allow_any_dynamic_dns", "block_all"}


def compiled(objects, node, revisions=None, cache=None):
    """The mesh in which each object has a revision of its own."""
    given = revisions or {}
    steps = [
        ((item.kind, *item.namespaced_name), Config(item, given.get((item.kind, item.metadata.name), number + 1)))
        for number, item in enumerate(objects)
    ]
    snapshot = MeshSnapshot()._with(steps)
    return compile_resources(snapshot, classify(parse_node(node), snapshot.selection), cache)


@pytest.mark.parametrize("case", case_directories(TESTDATA))
def test_every_resource_of_every_case_names_objects_that_are_there(case, case_of):
    objects, node = case_of(case)
    resources = compiled(objects, node)
    there = {(item.kind, *item.namespaced_name): number + 1 for number, item in enumerate(objects)}
    for type_url, named in resources.resources.items():
        for name, resource in named.items():
            for origin in resource.origins:
                assert origin[:3] in there, (name, origin)
                assert origin.revision in (0, there[origin[:3]]), (name, origin)
            message = registry.parse(type_url, resource.body)
            of_mesh = name in OF_THE_MESH or name.endswith(":15002") or name.endswith("_15002")
            assert resource.origins or of_mesh, f"nobody made {type_url} {name}"
            if type_url == CLUSTER_TYPE and name not in OF_THE_MESH:
                assert origins_in(message.metadata) == resource.origins
            elif type_url == LISTENER_TYPE:
                assert set(origins_in(message.metadata)) <= set(resource.origins)
            elif type_url == ENDPOINT_TYPE:
                assert resource.origins[0].kind in ("Service", "ServiceEntry")
            elif type_url == ROUTE_TYPE:
                for host in message.virtual_hosts:
                    made_by = set(origins_in(host.metadata))
                    assert {one.unversioned for one in made_by} <= {one.unversioned for one in resource.origins}
                    catches_all = host.name in CATCH_ALL or host.name.startswith("blackhole:")
                    patched = any(origin.kind == "EnvoyFilter" for origin in resource.origins)
                    assert made_by or catches_all or patched, host.name
                    for route in host.routes:
                        assert set(origins_in(route.metadata)) <= made_by
                        named_by_istio = route.metadata.filter_metadata["istio"].fields["config"].string_value
                        assert bool(named_by_istio) == bool(origins_in(route.metadata))


@pytest.fixture
def bookshop(case_of):
    return case_of(TESTDATA / "virtualservice-weighted-two-subsets")


def test_a_revision_that_changes_nothing_else_gives_every_cluster_the_same_version(bookshop):
    objects, node = bookshop
    first = compiled(objects, node)
    later = compiled(objects, node, {("DestinationRule", "reviews"): 70, ("Service", "reviews"): 71})
    for type_url in (CLUSTER_TYPE, LISTENER_TYPE, ENDPOINT_TYPE):
        assert dict(first.of_type(type_url)) == dict(later.of_type(type_url))
    name = next(name for name in first.of_type(CLUSTER_TYPE) if "|v1|" in name)
    assert first.of_type(CLUSTER_TYPE)[name].body != later.of_type(CLUSTER_TYPE)[name].body
    kept = later.sharing(first).of_type(CLUSTER_TYPE)[name]
    assert kept.body == first.of_type(CLUSTER_TYPE)[name].body, "what was sent stays what is held"
    assert ConfigRef("DestinationRule", "shop", "reviews", 70) in kept.origins, "and who asks is told of today"


def test_a_set_of_the_same_objects_is_the_same_mapping(bookshop):
    objects, node = bookshop
    cache = CompileCache()
    first, second = compiled(objects, node, cache=cache), compiled(objects, node, cache=cache)
    shared = second.sharing(first)
    assert all(shared.of_type(type_url) is named for type_url, named in first.resources.items())


def test_the_objects_that_made_a_cluster_are_part_of_its_content():
    one, other = (ConfigRef("Service", "shop", name, 3) for name in ("a", "b"))
    made = [PackedResource.pack(CLUSTER_TYPE, "c", b"", (origin,)) for origin in (one, other)]
    assert made[0].version != made[1].version
    assert made[0].version == PackedResource.pack(CLUSTER_TYPE, "c", b"", (one._replace(revision=9),)).version


def test_what_only_stands_beside_a_resource_moves_nothing():
    ref = ConfigRef("ConfigMap", "istio-system", "istio", 4)
    assert PackedResource.pack(CLUSTER_TYPE, "c", b"", (), (ref,)) == PackedResource.pack(CLUSTER_TYPE, "c", b"")
    assert PackedResource.pack(ENDPOINT_TYPE, "c", b"", (ref,)) == PackedResource.pack(ENDPOINT_TYPE, "c", b"")


def test_metadata_that_is_there_stays_beside_ours():
    from envoy.config.cluster.v3 import cluster_pb2

    cluster = cluster_pb2.Cluster(name="c")
    cluster.metadata.filter_metadata["istio"].update({"config": "/apis/x"})
    refs = (ConfigRef("Service", "shop", "a", 12), ConfigRef("Namespace", "", "shop"))
    read = cluster_pb2.Cluster.FromString(cluster.SerializeToString() + metadata_field(25, refs))
    assert read.metadata.filter_metadata["istio"]["config"] == "/apis/x"
    assert origins_in(read.metadata) == refs


def test_references_read_as_they_are_written():
    for ref in (ConfigRef("Service", "shop", "a", 12), ConfigRef("Namespace", "", "shop")):
        assert ConfigRef.parse(str(ref)) == ref
    one = ConfigRef("Service", "shop", "a", 12)
    assert distinct([one, one._replace(revision=13), one]) == (one._replace(revision=13),)
