"""Names and addresses for agents."""

from meshcore._generated.istio.networking.nds.v1 import nds_pb2
from meshcore.model.load import parse_object
from meshcore.xds.types import NAME_TABLE_TYPE
from pilot.core.compiler.cache import CompileCache
from pilot.core.compiler.context import Compilation
from pilot.core.ip_families import IpFamilies
from pilot.core.name_table import NameTables, name_table
from pilot.core.node import parse_node
from pilot.core.proxy import ProxyClass, ProxyType
from pilot.core.snapshot import MeshSnapshot


def service(name, **spec):
    document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"ports": [{"name": "http", "port": 80}], **spec},
    }
    return parse_object(document)


def read(resources):
    return nds_pb2.NameTable.FromString(resources.of_type(NAME_TABLE_TYPE)[""].body).table


def table(*objects, namespace="shop"):
    one = ProxyClass(ProxyType.SIDECAR, namespace, families=IpFamilies.V4)
    return read(name_table(Compilation(MeshSnapshot.of(objects), one, CompileCache())))


def test_a_service_has_its_own_address():
    entry = table(service("reviews", clusterIP="10.0.0.1"))["reviews.shop.svc.cluster.local"]
    assert list(entry.ips) == ["10.0.0.1"]
    assert (entry.registry, entry.shortname, entry.namespace) == ("Kubernetes", "reviews", "shop")


def test_a_host_without_any_address_is_left_to_dns():
    assert not table(service("reviews", clusterIP="None"))


def entry(host, resolution, **spec):
    return parse_object(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": "entry", "namespace": "shop"},
            "spec": {
                "hosts": [host],
                "resolution": resolution,
                "ports": [{"name": "http", "number": 80, "protocol": "HTTP"}],
                **spec,
            },
        }
    )


def test_a_wildcard_with_an_address_is_in_the_table_as_a_wildcard():
    found = table(entry("*.wild.example", "STATIC", addresses=["192.0.2.1"]))
    assert {host: list(item.ips) for host, item in found.items()} == {"*.wild.example": ["192.0.2.1"]}
    assert (found["*.wild.example"].registry, found["*.wild.example"].shortname) == ("External", "")


def test_a_wildcard_is_given_an_address_where_its_names_are_looked_up():
    assert list(table(entry("*.wild.example", "DYNAMIC_DNS"))["*.wild.example"].ips)
    assert not table(entry("*.wild.example", "STATIC"))


def slice_of(name, *endpoints):
    document = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 80}],
        "endpoints": list(endpoints),
    }
    return parse_object(document)


def test_a_headless_service_is_its_ready_endpoints_and_stateful_pods_have_names():
    found = table(
        service("web", clusterIP="None"),
        slice_of(
            "web",
            {"addresses": ["10.1.0.1"], "hostname": "web-0"},
            {"addresses": ["10.1.0.2"], "hostname": "web-1"},
            {"addresses": ["10.1.0.3"], "hostname": "web-2", "conditions": {"ready": False}},
        ),
    )
    assert {host: list(entry.ips) for host, entry in found.items()} == {
        "web.shop.svc.cluster.local": ["10.1.0.1", "10.1.0.2"],
        "web-0.web.shop.svc.cluster.local": ["10.1.0.1"],
        "web-1.web.shop.svc.cluster.local": ["10.1.0.2"],
    }
    assert found["web-0.web.shop.svc.cluster.local"].shortname == "web-0.web"


def test_a_service_that_publishes_what_is_not_ready_names_it():
    unready = {"addresses": ["10.1.0.3"], "hostname": "web-2", "conditions": {"ready": False}}
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True}
    assert list(table(service("web", **spec), slice_of("web", unready))["web.shop.svc.cluster.local"].ips)


def sidecar(*imports, namespace="shop", **spec):
    return parse_object(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Sidecar",
            "metadata": {"name": "default", "namespace": namespace},
            "spec": {"egress": [{"hosts": list(imports)}], **spec},
        }
    )


def test_what_is_not_exported_to_a_namespace_is_not_in_its_tables():
    shared, own = (
        entry("shared.example", "STATIC", addresses=["192.0.2.1"]),
        entry("own.example", "DNS", exportTo=["."]),
    )
    own = own.model_copy(update={"metadata": own.metadata.model_copy(update={"name": "own"})})
    assert set(table(shared, own)) == {"shared.example", "own.example"}
    assert set(table(shared, own, namespace="other")) == {"shared.example"}


def test_what_the_sidecar_does_not_import_is_not_in_the_table():
    services = service("reviews", clusterIP="10.0.0.1"), service("web", clusterIP="10.0.0.2")
    assert set(table(*services, sidecar("./reviews.shop.svc.cluster.local"))) == {"reviews.shop.svc.cluster.local"}
    assert len(table(*services, sidecar("~/*"), namespace="other")) == 2


def test_a_host_that_two_namespaces_describe_is_the_own_ones():
    there = entry("twice.example", "STATIC", addresses=["192.0.2.2"])
    there = there.model_copy(update={"metadata": there.metadata.model_copy(update={"namespace": "other"})})
    both = entry("twice.example", "STATIC", addresses=["192.0.2.1"]), there
    assert list(table(*both)["twice.example"].ips) == ["192.0.2.1"]
    assert list(table(*both, namespace="other")["twice.example"].ips) == ["192.0.2.2"]


def test_pods_behind_a_gateway_of_another_network_are_not_named():
    gateway = parse_object(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "east", "namespace": "shop", "labels": {"topology.istio.io/network": "far"}},
            "spec": {"externalIPs": ["192.0.2.9"], "ports": [{"name": "tls", "port": 15443}]},
        }
    )
    pod = parse_object(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"topology.istio.io/network": "far"}},
            "spec": {"containers": [{"name": "main"}]},
        }
    )
    near = {"addresses": ["10.1.0.1"], "hostname": "web-0"}
    far = {"addresses": ["10.1.0.2"], "hostname": "web-1", "targetRef": {"kind": "Pod", "name": "web-1"}}
    found = table(service("web", clusterIP="None"), slice_of("web", near, far), gateway, pod)
    assert list(found["web.shop.svc.cluster.local"].ips) == ["10.1.0.1"]
    assert "web-1.web.shop.svc.cluster.local" not in found


def agent(name, namespace="shop"):
    node_id = f"sidecar~10.0.0.{len(name)}~{name}.{namespace}~{namespace}.svc.cluster.local"
    return parse_node({"id": node_id, "metadata": {"NAMESPACE": namespace, "GENERATOR": "agent"}})


def test_agents_that_see_the_same_share_a_table_until_something_of_it_changes():
    tables, objects = NameTables(), [service("reviews", clusterIP="10.0.0.1"), service("web", clusterIP="None")]
    mesh = MeshSnapshot.of([*objects, slice_of("web", {"addresses": ["10.1.0.1"]})])
    first = tables.of(mesh, agent("a"))
    assert tables.of(mesh, agent("bb")) is first
    elsewhere = mesh.supposing([(slice_of("reviews", {"addresses": ["10.1.0.7"]}), False)])
    assert tables.of(elsewhere, agent("a")) is first, "the endpoints of a service with an address are nobody's name"
    moved = mesh.supposing([(slice_of("web", {"addresses": ["10.1.0.2"]}), False)])
    assert list(read(tables.of(moved, agent("a")))["web.shop.svc.cluster.local"].ips) == ["10.1.0.2"]
