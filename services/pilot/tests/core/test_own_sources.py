"""Classes that call from addresses of their own: what they have alike is made once, whatever is forgotten meanwhile."""

from drawn_changes import Change, Record
from envoy.config.cluster.v3 import cluster_pb2
from meshcore.distribution.keys import Key
from meshcore.model.load import dump_object, parse_object
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, ROUTE_TYPE
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.compiler import clusters as outbound
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

NETWORKING = "networking.istio.io/v1"
MESH = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "istio", "namespace": "istio-system"},
    "data": {"mesh": "proxyHttpPort: 15002\n"},
}


def entry(name, location="MESH_INTERNAL"):
    spec = {
        "hosts": [f"{name}.example"],
        "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
        "location": location,
        "resolution": "STATIC",
        "endpoints": [{"address": "10.1.1.1"}],
    }
    return made("ServiceEntry", name, spec)


def routes(seconds):
    rule = {"timeout": f"{seconds}s", "route": [{"destination": {"host": "a.example"}}]}
    return made("VirtualService", "a", {"hosts": ["a.example"], "http": [rule]})


def made(kind, name, spec):
    return {"apiVersion": NETWORKING, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def node(number, **more):
    own = {"INTERCEPTION_MODE": "NONE", "MESHCORE_APP_ADDRESS": f"127.1.1.{number}"}
    metadata = {"NAMESPACE": "shop", "INSTANCE_IPS": f"127.1.0.{number}", **own, **more}
    return {"id": f"sidecar~127.1.0.{number}~a.shop~shop.svc.cluster.local", "metadata": metadata}


def compiled(documents, cache, nodes=(1, 2)):
    snapshot = MeshSnapshot.of([parse_object(one) for one in documents])
    classes = [classify(parse_node(node(number)), snapshot.selection) for number in nodes]
    return [compile_resources(snapshot, one, cache) for one in classes]


def cluster_of(found, host):
    resource = found.of_type(CLUSTER_TYPE)[f"outbound|80||{host}"]
    return cluster_pb2.Cluster.FromString(resource.body)


def test_each_calls_services_of_the_mesh_from_its_own_address():
    world = (MESH, entry("a"), entry("out", "MESH_EXTERNAL"))
    found = compiled(world, CompileCache())
    sources = [cluster_of(one, "a.example").upstream_bind_config.source_address.address for one in found]
    assert sources == ["127.1.0.1", "127.1.0.2"]
    assert not any(cluster_of(one, "out.example").HasField("upstream_bind_config") for one in found)
    one, other = (cluster_of(each, "a.example") for each in found)
    for cluster in (one, other):
        cluster.ClearField("upstream_bind_config")
    assert one == other


def test_what_services_make_is_made_once_for_all_addresses(monkeypatch):
    built = []
    build = outbound._build
    monkeypatch.setattr(outbound, "_build", lambda *given: built.append(given) or build(*given))
    one, other = compiled((MESH, entry("a"), entry("b")), CompileCache())
    assert len(built) == 2
    assert one.of_type(ENDPOINT_TYPE) is other.of_type(ENDPOINT_TYPE)
    assert one.of_type(ROUTE_TYPE) is other.of_type(ROUTE_TYPE)
    assert one.of_type(CLUSTER_TYPE).keys() == other.of_type(CLUSTER_TYPE).keys()


def test_a_route_that_is_edited_makes_no_cluster_again_though_all_memos_are_forgotten(monkeypatch):
    """More classes than the memos have room for made every cluster of every class again, at every change."""
    snapshot, cache = MeshSnapshot.of([parse_object(one) for one in (MESH, entry("a"), entry("b"))]), CompileCache(1)
    classes = [classify(parse_node(node(number)), snapshot.selection) for number in (1, 2)]
    before = [compile_resources(snapshot, one, cache) for one in classes]
    monkeypatch.setattr(outbound, "_build", None)
    record = Record(1, dump_object(parse_object(routes(3))))
    edited = snapshot.apply([Change(Key("networking.istio.io", "virtualservices", "shop", "a"), record)])
    after = [compile_resources(edited, one, cache) for one in classes]
    for old, new in zip(before, after, strict=True):
        assert old.of_type(ROUTE_TYPE) is not new.of_type(ROUTE_TYPE)
        for name, resource in old.of_type(CLUSTER_TYPE).items():
            if name.startswith("outbound|"):
                assert new.of_type(CLUSTER_TYPE)[name] is resource
