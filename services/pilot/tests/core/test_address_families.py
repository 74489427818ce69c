"""Proxies with addresses of one family or of both: what they bind, look up, dial, and are told of names."""

from pathlib import Path

import pytest
import yaml
from envoy.config.cluster.v3 import cluster_pb2
from meshcore._generated.istio.networking.nds.v1 import nds_pb2
from meshcore.xds import registry
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, NAME_TABLE_TYPE
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.compiler.context import Compilation
from pilot.core.ip_families import IpFamilies, families_of, plain_address
from pilot.core.name_table import name_table
from pilot.core.node import parse_node
from pilot.core.proxy import ProxyClass, ProxyType, classify
from pilot.core.registry import ServiceKey
from pilot.core.simulation import Call, simulate
from pilot.core.snapshot import MeshSnapshot

TESTDATA = Path(__file__).parents[1] / "testdata"
DUAL = "families-both-dual-stack"
REVIEWS = "outbound|9000||reviews.shop.svc.cluster.local"


@pytest.fixture
def compiled(case_of):
    def compile_case(case, **metadata):
        objects, node = case_of(TESTDATA / case)
        node = {**node, "metadata": {**node["metadata"], **metadata}}
        snapshot = MeshSnapshot.of(objects)
        return compile_resources(snapshot, classify(parse_node(node), snapshot.selection))

    return compile_case


def message(resources, type_url, name):
    return registry.parse(type_url, resources.of_type(type_url)[name].body)


@pytest.mark.parametrize(
    ("addresses", "families"),
    [
        ((), IpFamilies.V4),
        (("10.0.0.1",), IpFamilies.V4),
        (("fd00::1", "fd00::2"), IpFamilies.V6),
        (("fd00::1", "10.0.0.1"), IpFamilies.BOTH),
    ],
)
def test_the_families_of_a_proxy_are_those_of_its_addresses(addresses, families):
    assert families_of(addresses) is families


def test_an_address_has_one_spelling():
    assert [plain_address(text) for text in ("FD00:0:0::1", "::ffff:10.0.0.1", "10.0.0.1", "None", "")] == [
        "fd00::1",
        "10.0.0.1",
        "10.0.0.1",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("case", "lookup"),
    [
        ("families-ipv4", cluster_pb2.Cluster.V4_ONLY),
        ("families-ipv6", cluster_pb2.Cluster.V6_ONLY),
        ("families-both", cluster_pb2.Cluster.V4_ONLY),
        (DUAL, cluster_pb2.Cluster.ALL),
    ],
)
def test_names_are_looked_up_for_the_families_of_the_proxy(compiled, case, lookup):
    assert message(compiled(case), CLUSTER_TYPE, "outbound|5000||named.example").dns_lookup_family == lookup


@pytest.mark.parametrize(
    ("case", "addresses"),
    [
        ("families-ipv4", [["10.1.0.1"], ["10.1.0.2"]]),
        ("families-ipv6", [["fd00:1::1"], ["fd00:1::2"]]),
        ("families-both", [["10.1.0.1"], ["10.1.0.2"]]),
        (DUAL, [["10.1.0.1", "fd00:1::1"], ["10.1.0.2", "fd00:1::2"]]),
    ],
)
def test_a_pod_of_both_families_is_one_endpoint_at_the_addresses_that_the_proxy_can_reach(compiled, case, addresses):
    (group,) = message(compiled(case), ENDPOINT_TYPE, REVIEWS).endpoints
    found = [
        [part.address.socket_address.address for part in (host.endpoint, *host.endpoint.additional_addresses)]
        for host in group.lb_endpoints
    ]
    assert found == addresses


def test_endpoints_of_the_other_family_are_used_by_who_has_nothing_else(compiled):
    def found(case):
        groups = message(compiled(case), ENDPOINT_TYPE, "outbound|4000||listed.example").endpoints
        return [host.endpoint.address.socket_address.address for group in groups for host in group.lb_endpoints]

    assert found("families-ipv4") == ["192.0.2.9"]
    assert found("families-ipv6") == ["2001:db8::9"]
    assert found("families-both") == ["192.0.2.9", "2001:db8::9"]
    thief = "outbound|9000||thief.example"
    (group,) = message(compiled("families-ipv6"), ENDPOINT_TYPE, thief).endpoints
    assert group.lb_endpoints[0].endpoint.address.socket_address.address == "192.0.2.8"


@pytest.mark.parametrize(
    ("case", "dialled", "cluster"),
    [
        ("families-ipv4", "10.0.0.1", REVIEWS),
        ("families-ipv6", "fd00:10::1", REVIEWS),
        (DUAL, "10.0.0.1", REVIEWS),
        (DUAL, "fd00:10::1", REVIEWS),
        (DUAL, "fd00:1::77", "PassthroughCluster"),
    ],
)
def test_who_dials_a_service_in_either_family_reaches_it(compiled, case, dialled, cluster):
    outcome = simulate(compiled(case), Call("", 9000, address=dialled, is_http=False))
    assert outcome.shares == {cluster: 100.0}


@pytest.mark.parametrize(("case", "dialled"), [("families-ipv6", "fd00:10::1"), (DUAL, "fd00:10::1")])
def test_http_to_the_ipv6_address_is_routed(compiled, case, dialled):
    outcome = simulate(compiled(case), Call(f"[{dialled}]", 80, address=dialled))
    assert outcome.shares == {"outbound|80||reviews.shop.svc.cluster.local": 100.0}


def test_what_is_captured_on_the_way_in_is_taken_in_both_families(compiled):
    listener = message(compiled(DUAL), LISTENER_TYPE, "virtualInbound")
    assert listener.address.socket_address.address == "0.0.0.0"
    assert [item.address.socket_address.address for item in listener.additional_addresses] == ["::"]
    cluster = message(compiled(DUAL), CLUSTER_TYPE, "inbound|9000||")
    assert cluster.upstream_bind_config.source_address.address == "127.0.0.6"
    assert [item.address.address for item in cluster.upstream_bind_config.extra_source_addresses] == ["::6"]
    alone = message(compiled("families-ipv6"), CLUSTER_TYPE, "inbound|9000||")
    assert alone.upstream_bind_config.source_address.address == "::6"


def test_without_dual_stack_only_the_catch_all_takes_both_families(compiled):
    resources = compiled("families-both")
    bound = message(resources, CLUSTER_TYPE, "InboundPassthroughCluster").upstream_bind_config
    assert [item.address.address for item in bound.extra_source_addresses] == ["::6"]
    assert not message(resources, CLUSTER_TYPE, "inbound|9000||").upstream_bind_config.extra_source_addresses


@pytest.mark.parametrize(
    ("families", "service", "pod"),
    [
        (IpFamilies.V4, ["10.0.0.1"], ["10.1.0.3"]),
        (IpFamilies.V6, ["fd00:10::1"], ["fd00:1::3"]),
        (IpFamilies.BOTH, ["10.0.0.1", "fd00:10::1"], ["fd00:1::3", "10.1.0.3"]),
    ],
)
def test_an_agent_is_told_names_with_addresses_of_its_families(case_of, families, service, pod):
    snapshot = MeshSnapshot.of(case_of(TESTDATA / DUAL)[0])
    one = ProxyClass(ProxyType.SIDECAR, "shop", families=families)
    made = name_table(Compilation(snapshot, one, CompileCache())).of_type(NAME_TABLE_TYPE)[""]
    table = nds_pb2.NameTable.FromString(made.body).table
    assert list(table["reviews.shop.svc.cluster.local"].ips) == service
    assert list(table["store-0.store.shop.svc.cluster.local"].ips) == pod


def test_a_service_is_the_same_object_for_every_caller_that_sees_it_the_same(case_of):
    registry_ = MeshSnapshot.of(case_of(TESTDATA / DUAL)[0]).registry
    reviews = registry_.services[ServiceKey("reviews.shop.svc.cluster.local", "shop")]
    assert reviews.seen_by(IpFamilies.BOTH, given=True) is reviews
    assert reviews.seen_by(IpFamilies.V6, given=True) is reviews.seen_by(IpFamilies.V6, given=True)


def test_a_mesh_that_becomes_dual_stack_is_not_served_from_what_was_built_before(case_of):
    objects, node = case_of(TESTDATA / DUAL)
    plain = [
        item.model_copy(update={"data": {"mesh": yaml.safe_dump({"proxyHttpPort": 15002})}})
        if item.kind == "ConfigMap"
        else item
        for item in objects
    ]
    cache = CompileCache()
    made = []
    for mesh in (plain, objects, plain):
        snapshot = MeshSnapshot.of(mesh)
        made.append(compile_resources(snapshot, classify(parse_node(node), snapshot.selection), cache))
    assert made[0].resources == made[2].resources
    assert made[1].resources == compile_resources(snapshot_of(objects), class_of(node, objects)).resources


def snapshot_of(objects):
    return MeshSnapshot.of(objects)


def class_of(node, objects):
    return classify(parse_node(node), MeshSnapshot.of(objects).selection)
