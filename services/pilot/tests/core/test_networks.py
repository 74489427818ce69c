"""Endpoints of other networks: reached through gateways, in mesh TLS, with the same shares."""

import pytest
import yaml
from meshcore.model.load import parse_object
from meshcore.xds.types import ENDPOINT_TYPE
from pilot.core.compiler import compile_resources
from pilot.core.config_dump import resources_of_type
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: shop}
spec: {selector: {app: echo}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""
PASSTHROUGH = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: between, namespace: edge}
spec:
  selector: {app: edge}
  servers:
  - {port: {number: 15443, name: tls, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}
"""


def workload(name, address, network="", account="echo", weight=1):
    return f"""
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, namespace: shop}}
spec: {{address: {address}, network: "{network}", labels: {{app: echo}}, serviceAccount: "{account}", weight: {weight}}}
"""


def gateway(name, network, *addresses, port=15443, extra=""):
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: edge, labels: {{topology.istio.io/network: {network} {extra}}}}}
spec:
  externalIPs: [{", ".join(addresses)}]
  ports: [{{name: tls, port: {port}}}]
"""


def mesh(*texts):
    return MeshSnapshot.of([parse_object(item) for text in texts for item in yaml.safe_load_all(text) if item])


def reached(snapshot, network="here", kind="sidecar", name="outbound|80||echo.shop.svc.cluster.local"):
    """Address, port, weight and whether in mesh TLS, of each endpoint in their order."""
    metadata = {"NAMESPACE": "edge", "NETWORK": network, "LABELS": {"app": "edge"}}
    node = {"id": f"{kind}~10.9.9.9~a.edge~edge.svc.cluster.local", "metadata": metadata}
    resources = compile_resources(snapshot, classify(parse_node(node), snapshot.selection))
    (found,) = (item for item in resources_of_type(resources, ENDPOINT_TYPE) if item["cluster_name"] == name)
    made = []
    for group in found.get("endpoints", ()):
        for host in group["lb_endpoints"]:
            place = host["endpoint"]["address"]["socket_address"]
            mutual = "tlsMode" in str(host.get("metadata", ""))
            made.append((place["address"], place["port_value"], host["load_balancing_weight"], mutual))
    return made


EVERYWHERE = (
    SERVICE,
    workload("near", "10.0.0.1", "here", weight=2),
    workload("far-1", "10.0.1.1", "there", weight=3),
    workload("far-2", "10.0.1.2", "there"),
    workload("plain", "10.0.1.3", "there", account=""),
)


def test_without_gateways_everybody_reaches_everybody():
    snapshot = mesh(*EVERYWHERE)
    assert [item[0] for item in reached(snapshot)] == ["10.0.0.1", "10.0.1.1", "10.0.1.2", "10.0.1.3"]


def test_other_networks_are_reached_through_their_gateways_in_mesh_tls_alone():
    snapshot = mesh(*EVERYWHERE, gateway("there", "there", "192.0.2.1", "192.0.2.2"))
    assert reached(snapshot) == [
        ("10.0.0.1", 8080, 4, True),
        ("192.0.2.1", 15443, 4, True),
        ("192.0.2.2", 15443, 4, True),
    ]


def test_within_a_network_endpoints_are_reached_directly():
    snapshot = mesh(*EVERYWHERE, gateway("there", "there", "192.0.2.1"))
    near = [item[0] for item in reached(snapshot, "there")]
    assert near == ["10.0.0.1", "10.0.1.1", "10.0.1.2", "10.0.1.3"], "the network here has no gateway"


def test_a_proxy_of_no_network_takes_the_gateways_too():
    snapshot = mesh(*EVERYWHERE, gateway("there", "there", "192.0.2.1"))
    assert [item[0] for item in reached(snapshot, "")] == ["10.0.0.1", "192.0.2.1"]


def test_weights_are_divided_among_the_gateways_of_each_network():
    third = workload("third", "10.0.2.1", "elsewhere")
    gateways = gateway("there", "there", "192.0.2.1", "192.0.2.2"), gateway("else", "elsewhere", "192.0.2.3")
    weights = {item[0]: item[2] for item in reached(mesh(*EVERYWHERE, third, *gateways))}
    assert weights == {"10.0.0.1": 4, "192.0.2.1": 4, "192.0.2.2": 4, "192.0.2.3": 2}


def test_a_gateway_may_have_another_port_and_must_have_the_one_that_it_names():
    other = gateway("there", "there", "192.0.2.1", port=443, extra=', networking.istio.io/gatewayPort: "443"')
    assert reached(mesh(*EVERYWHERE, other))[1][:2] == ("192.0.2.1", 443)
    without = gateway("there", "there", "192.0.2.1", port=443)
    assert len(reached(mesh(*EVERYWHERE, without))) == 4


def test_a_load_balancer_says_its_addresses_in_its_status_and_names_are_not_resolved():
    text = gateway("there", "there", "192.0.2.9") + "  type: LoadBalancer\n"
    status = "status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: gateway.example}]}}\n"
    assert [item[0] for item in reached(mesh(*EVERYWHERE, text + status))] == ["10.0.0.1", "192.0.2.1", "192.0.2.9"]


NETWORKS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  meshNetworks: |
    networks:
      there:
        endpoints: [{fromCidr: 10.0.1.0/24}]
        gateways: [{address: 192.0.2.1, port: 443}, {registryServiceName: way.edge.svc.cluster.local, port: 15443}]
"""
WAY = """
apiVersion: v1
kind: Service
metadata: {name: way, namespace: edge}
spec: {externalIPs: [192.0.2.2], ports: [{name: tls, port: 15443}]}
"""


def test_mesh_networks_say_where_addresses_are_and_which_gateways_there_are():
    unsaid = (SERVICE, workload("near", "10.0.0.1"), workload("far", "10.0.1.1"))
    snapshot = mesh(*unsaid, NETWORKS, WAY)
    assert [item[:2] for item in reached(snapshot)] == [("10.0.0.1", 8080), ("192.0.2.1", 443), ("192.0.2.2", 15443)]
    broken = NETWORKS.replace("networks:\n", "networks: [\n")
    assert len(reached(mesh(*unsaid, broken, WAY))) == 2


def test_the_root_namespace_names_the_network_of_those_that_say_nothing():
    root = (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system, labels: {topology.istio.io/network: there}}\n"
    )
    snapshot = mesh(SERVICE, workload("far", "10.0.1.1"), root, gateway("there", "there", "192.0.2.1"))
    assert [item[0] for item in reached(snapshot)] == ["192.0.2.1"]
    assert [item[0] for item in reached(snapshot, "there")] == ["10.0.1.1"]


@pytest.mark.parametrize("network", ["there", "here"])
def test_a_gateway_that_passes_through_reaches_its_own_network(network):
    snapshot = mesh(*EVERYWHERE, PASSTHROUGH, gateway("there", "there", "192.0.2.1"))
    found = reached(snapshot, network, "router", "outbound_.80_._.echo.shop.svc.cluster.local")
    far = ["10.0.1.1", "10.0.1.2"] if network == "there" else ["192.0.2.1"]
    assert [item[0] for item in found] == ["10.0.0.1", *far]


def test_what_is_no_gateway_leaves_networks_as_they_are():
    before = mesh(*EVERYWHERE, gateway("there", "there", "192.0.2.1"))
    after = before.supposing([(parse_object(yaml.safe_load(WAY)), False)])
    assert after.networks is before.networks


def test_gateways_are_those_of_the_proxys_address_family():
    both = gateway("there", "there", "192.0.2.1", '"2001:db8::1"')
    assert [item[0] for item in reached(mesh(*EVERYWHERE, both))] == ["10.0.0.1", "192.0.2.1"]
    other = gateway("there", "there", '"2001:db8::1"')
    assert [item[0] for item in reached(mesh(*EVERYWHERE, other))] == ["10.0.0.1"], "not by what is behind it"
