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
