"""Names and addresses for agents."""

from meshcore._generated.istio.networking.nds.v1 import nds_pb2
from meshcore.model.load import parse_object
from meshcore.xds.types import NAME_TABLE_TYPE
from pilot.core.name_table import name_table
from pilot.core.snapshot import MeshSnapshot


def service(name, **spec):
    document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"ports": [{"name": "http", "port": 80}], **spec},
    }
    return parse_object(document)


def table(*objects):
    resources = name_table(MeshSnapshot.of(objects)).of_type(NAME_TABLE_TYPE)
    return nds_pb2.NameTable.FromString(resources[""].body).table


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
