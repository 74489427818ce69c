"""Where calls go, stated as behaviour: the simulator answers from compiled resources."""

from collections.abc import Callable

import pytest
from meshcore.xds.resource import ResourceSet
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.simulation import ISTIO, Arrival, Call, arrive, simulate
from pilot.core.snapshot import MeshSnapshot
from shop_mesh import DATABASE, REVIEWS, REVIEWS_V1, REVIEWS_V2, SUBSETS, documents

HOST = "reviews.shop.svc.cluster.local"
V1, V2, ALL = (f"outbound|9080|{subset}|{HOST}" for subset in ("v1", "v2", ""))

PROXY_PORT = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "proxyHttpPort: 15002"}
"""
MESH = documents(PROXY_PORT, REVIEWS, DATABASE, REVIEWS_V1, REVIEWS_V2, SUBSETS)
SPLIT = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - match: [{headers: {user: {exact: ada}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 50}
    - {destination: {host: reviews, subset: v2}, weight: 50}
"""


@pytest.fixture
def compiled(objects) -> Callable[..., ResourceSet]:
    """The resources of a client in the mesh, captured unless an application address is given."""

    def build(more: str = "", *, own_addresses: bool = False, labels: dict[str, str] | None = None) -> ResourceSet:
        metadata = {"NAMESPACE": "shop", "LABELS": labels or {"app": "reviews"}}
        if own_addresses:
            metadata |= {"INTERCEPTION_MODE": "NONE", "MESHCORE_APP_ADDRESS": "127.1.1.9", "INSTANCE_IPS": "127.1.0.9"}
        node = {"id": "sidecar~127.1.0.9~client.shop~shop.svc.cluster.local", "metadata": metadata}
        snapshot = MeshSnapshot.of(objects(MESH + more))
        return compile_resources(snapshot, classify(parse_node(node), snapshot.selection))

    return build


@pytest.mark.parametrize("own_addresses", [False, True], ids=["captured", "http-proxy"])
class TestRequests:
    def test_a_service_without_rules_gets_all_of_its_endpoints(self, compiled, own_addresses):
        outcome = simulate(compiled(own_addresses=own_addresses), Call(HOST, 9080))
        assert outcome.shares == {ALL: 100.0}
        assert outcome.endpoints == {ALL: ("10.1.0.1:9080", "10.1.0.2:9080")}

    def test_weights_split_and_a_header_decides(self, compiled, own_addresses):
        resources = compiled(SPLIT, own_addresses=own_addresses)
        assert simulate(resources, Call("reviews", 9080)).shares == {V1: 50.0, V2: 50.0}
        ada = simulate(resources, Call("reviews", 9080, headers={"user": "ada"}))
        assert ada.shares == {V2: 100.0}
        assert ada.endpoints == {V2: ("10.1.0.2:9080",)}

    @pytest.mark.parametrize("name", ["reviews", "reviews.shop", "reviews.shop.svc", HOST, f"{HOST}.", "REVIEWS"])
    def test_every_spelling_of_the_host_is_the_host(self, compiled, own_addresses, name):
        assert simulate(compiled(own_addresses=own_addresses), Call(name, 9080)).shares == {ALL: 100.0}

    def test_a_missing_subset_is_503_and_nothing_else_is_disturbed(self, compiled, own_addresses):
        resources = compiled(SPLIT.replace("subset: v2}}]", "subset: v9}}]"), own_addresses=own_addresses)
        assert simulate(resources, Call("reviews", 9080, headers={"user": "ada"})).status == 503
        assert simulate(resources, Call("reviews", 9080)).shares == {V1: 50.0, V2: 50.0}
        assert {item.code for item in resources.diagnostics} == {"unknown-subset"}

    def test_a_rule_without_conditions_ends_the_service(self, compiled, own_addresses):
        resources = compiled(SPLIT.replace("  - match: [{headers: {user: {exact: ada}}}]\n    route", "  - route"))
        assert simulate(resources, Call("reviews", 9080)).shares == {V2: 100.0}


def test_unknown_hosts_are_passed_through_unless_the_mesh_is_closed(compiled):
    assert simulate(compiled(), Call("example.com", 9080)).shares == {"PassthroughCluster": 100.0}
    closed = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default, namespace: shop}\n"
    closed += "spec: {egress: [{hosts: ['./*']}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}\n"
    resources = compiled(closed)
    assert simulate(resources, Call("example.com", 9080)).status == 502
    assert simulate(resources, Call("example.com", 4444, is_http=False)).shares == {"BlackHoleCluster": 100.0}
    assert simulate(resources, Call("reviews", 9080)).shares == {ALL: 100.0}


def test_without_capture_an_unknown_host_is_502_because_nothing_was_dialled(compiled):
    assert simulate(compiled(own_addresses=True), Call("example.com", 80)).status == 502


def test_tcp_goes_to_the_service_that_was_dialled(compiled):
    outcome = simulate(compiled(), Call("db", 5432, address="10.0.0.2", is_http=False))
    assert outcome.listener == "10.0.0.2_5432"
    assert outcome.shares == {"outbound|5432||db.shop.svc.cluster.local": 100.0}


def test_bytes_that_are_not_http_on_an_http_port_are_passed_through(compiled):
    outcome = simulate(compiled(), Call("reviews", 9080, is_http=False))
    assert (outcome.filter_chain, outcome.shares) == ("PassthroughFilterChain", {"PassthroughCluster": 100.0})


STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
"""


@pytest.mark.parametrize("own_addresses", [False, True], ids=["captured", "own-addresses"])
class TestArrivals:
    def test_permissive_takes_both_and_knows_them_apart(self, compiled, own_addresses):
        resources = compiled(own_addresses=own_addresses)
        plain = arrive(resources, Arrival(9080))
        mutual = arrive(resources, Arrival(9080, tls=True, alpn=ISTIO))
        assert (plain.terminates_mtls, mutual.terminates_mtls) == (False, True)
        assert plain.shares == mutual.shares == {"inbound|9080||": 100.0}

    def test_strict_refuses_plaintext(self, compiled, own_addresses):
        resources = compiled(STRICT, own_addresses=own_addresses)
        assert arrive(resources, Arrival(9080)).refused
        assert arrive(resources, Arrival(9080, tls=True, alpn=ISTIO)).shares == {"inbound|9080||": 100.0}


def test_strict_holds_for_ports_without_a_service(compiled):
    resources = compiled(STRICT)
    assert arrive(resources, Arrival(4321)).refused
    assert arrive(resources, Arrival(4321, tls=True, alpn=ISTIO)).shares == {"InboundPassthroughCluster": 100.0}


def test_a_connection_to_the_inbound_port_itself_ends_in_the_black_hole(compiled):
    assert arrive(compiled(), Arrival(15006, is_http=False)).shares == {"BlackHoleCluster": 100.0}
