"""Why a request goes where it goes, or nowhere: the steps, the objects that decided, the near misses."""

import pytest
from meshcore.errors import MeshError
from meshcore.xds.origin import ConfigRef
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.simulation import explain, parse_question
from pilot.core.snapshot import MeshSnapshot
from shop_mesh import DATABASE, REVIEWS, REVIEWS_V1, SUBSETS, documents

NODE = {
    "id": "sidecar~10.1.0.9~client.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "client"},
}
HIDDEN = """
apiVersion: v1
kind: Service
metadata: {name: hidden, namespace: other, annotations: {networking.istio.io/exportTo: "."}}
spec:
  clusterIP: 10.0.0.7
  ports: [{name: http, port: 80}]
"""
DATABASE_ENTRY = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: db, namespace: shop}
spec: {address: 10.1.0.3, labels: {app: db}, serviceAccount: db}
"""
RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - name: for-ada
    match: [{headers: {end-user: {exact: ada}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - name: moved
    match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - name: typo
    match: [{method: {exact: PUT}}]
    route: [{destination: {host: reviews, subset: v9}}]
  - name: rest
    route: [{destination: {host: reviews, subset: v1}}]
"""
MESH = documents(REVIEWS, HIDDEN, DATABASE, REVIEWS_V1, DATABASE_ENTRY, SUBSETS, RULES)
DELEGATION = """
apiVersion: v1
kind: Service
metadata: {name: front, namespace: shop}
spec: {clusterIP: 10.0.0.9, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: shop}
spec: {hosts: [front], http: [{delegate: {name: leaf}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: leaf, namespace: shop}
spec: {http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]}
"""
ROUTES = ConfigRef("VirtualService", "shop", "reviews")
RULE = ConfigRef("DestinationRule", "shop", "reviews")
SERVICE = ConfigRef("Service", "shop", "reviews")


@pytest.fixture
def ask(objects):
    def asked(to, more="", **details):
        snapshot = MeshSnapshot.of(objects(MESH + more))
        proxy = parse_node(NODE)
        one = classify(proxy, snapshot.selection)
        return explain(snapshot, proxy, one, compile_resources(snapshot, one), parse_question(to, **details))

    return asked


def at(found, name):
    return next(step for step in found.steps if step.at == name)


def test_each_step_names_the_objects_that_decided(ask):
    found = ask("http://reviews:9080/")
    assert [step.at for step in found.steps] == [
        "workload",
        "service",
        "listener",
        "filter chain",
        "virtual host",
        "route",
        "cluster",
        "endpoints",
        "transport",
    ]
    assert at(found, "service").configs == (SERVICE,)
    assert at(found, "route").configs == (ROUTES,)
    assert set(at(found, "cluster").configs) == {SERVICE, RULE}
    assert ConfigRef("WorkloadEntry", "shop", "reviews-v1") in at(found, "endpoints").configs
    assert at(found, "transport").text == "the client speaks mesh mTLS, the server takes PERMISSIVE"
    assert (found.works, found.endpoints) == (True, ("10.1.0.1:9080",))
    assert found.shares == (("outbound|9080|v1|reviews.shop.svc.cluster.local", 100.0),)
    assert found.document()["verdict"] == found.verdict


def test_a_rule_of_a_delegate_names_both_who_wrote_it(ask):
    found = ask("http://front/", DELEGATION)
    assert at(found, "route").configs == (
        ConfigRef("VirtualService", "shop", "root"),
        ConfigRef("VirtualService", "shop", "leaf"),
    )
    assert found.works


@pytest.mark.parametrize("to", ["reviews", "reviews.shop", "reviews.shop.svc", "reviews.shop.svc.cluster.local.:9080"])
def test_every_spelling_of_the_host_is_the_service(ask, to):
    assert ask(to).works


def test_near_misses_say_what_did_not_hold(ask):
    missed = at(ask("reviews", path="/new", headers={"end-user": "eve"}), "route").misses
    assert [(miss.route.partition(" ")[0], miss.why) for miss in missed] == [
        ("for-ada", "the header end-user 'eve' is not 'ada'"),
        ("moved", "the path /new does not begin with /old"),
        ("typo", "the method 'GET' is not 'PUT'"),
    ]
    assert missed[0].configs == (ROUTES,)
    assert at(ask("reviews", headers={"end-user": "ada"}), "route").misses == ()


def test_a_subset_that_selects_nobody(ask):
    found = ask("reviews", headers={"End-User": "ada"})
    assert (found.works, found.endpoints) == (False, ())
    assert "none of the 1 endpoints has the labels of subset v2 (version=v2); there are version=v1" in found.verdict
    assert RULE in at(found, "endpoints").configs
    assert at(found, "endpoints").problem


def test_a_subset_that_does_not_exist(ask):
    found = ask("reviews", method="put")
    assert (found.status, found.works) == (503, False)
    assert "has no subset 'v9'; its subsets: v1, v2" in found.verdict
    assert at(found, "cluster").configs[0] == RULE


def test_a_fault_that_always_strikes_is_the_answer(ask):
    fault = "    fault: {abort: {httpStatus: 418, percentage: {value: %s}}}\n    route"
    found = ask("reviews", MESH[MESH.index("apiVersion: networking.istio.io/v1\nkind: Virtual") :])
    assert found.works
    always = explain_with(ask, fault % 100)
    assert (always.status, always.works, always.verdict) == (418, False, "an injected fault answers 418")
    sometimes = explain_with(ask, fault % 5)
    assert (sometimes.status, sometimes.works) == (0, True)
    assert "5 % are answered 418 by an injected fault" in at(sometimes, "route").text


def explain_with(ask, fault):
    document = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - name: rest
    route: [{destination: {host: reviews, subset: v1}}]
"""
    return ask("reviews", document.replace("    route", fault))


def test_a_redirect_is_the_proxys_own_answer(ask):
    found = ask("reviews", path="/old")
    assert (found.status, found.works) == (301, False)
    assert "301" in found.verdict
    assert "/new" in found.verdict


def test_a_host_that_nobody_has_is_passed_through_and_a_hidden_one_says_why(ask):
    found = ask("http://nowhere.example/")
    assert found.shares == (("PassthroughCluster", 100.0),)
    assert at(found, "service").text == "no service of the mesh has the host nowhere.example"
    hidden = at(ask("hidden.other"), "service")
    assert hidden.text == "hidden.other.svc.cluster.local is not exported to the namespace shop"
    assert hidden.configs == (ConfigRef("Service", "other", "hidden"),)
    sidecar = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: small, namespace: shop}
spec: {egress: [{hosts: ["./db.shop.svc.cluster.local"]}]}
"""
    unseen = at(ask("reviews", sidecar), "service")
    assert "none of the hosts that the Sidecar" in unseen.text
    assert unseen.configs == (SERVICE, ConfigRef("Sidecar", "shop", "small"))


def test_tcp_goes_by_address_and_has_no_route(ask):
    found = ask("tcp://db:5432")
    assert "TCP chain" in at(found, "filter chain").text
    assert found.works
    assert not [step for step in found.steps if step.at == "route"]


STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: db, namespace: shop}
spec: {host: db, trafficPolicy: {tls: {mode: DISABLE}}}
"""


def test_plaintext_to_a_strict_server_names_both_who_ask_for_it(ask):
    found = ask("tcp://db:5432", STRICT)
    assert (found.works, at(found, "transport").problem) == (False, True)
    assert set(at(found, "transport").configs) == {
        ConfigRef("DestinationRule", "shop", "db"),
        ConfigRef("PeerAuthentication", "shop", "strict"),
    }
    assert "plaintext and the server wants mTLS" in found.verdict


@pytest.mark.parametrize("to", ["", "http://", "ftp://reviews", "reviews:port"])
def test_what_is_no_destination_is_refused(to):
    with pytest.raises(MeshError):
        parse_question(to)
    with pytest.raises(MeshError, match="begin with /"):
        parse_question("reviews", path="old")
