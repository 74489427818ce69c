"""What comes in through a gateway, and where it goes: the simulator answers from compiled resources."""

import pytest
from meshcore.xds.references import dangling
from meshcore.xds.resource import ResourceSet
from meshcore.xds.types import LISTENER_TYPE
from pilot.core.compiler import compile_resources
from pilot.core.gateway_name import gateway_name
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.simulation.calls import Call, Outcome
from pilot.core.simulation.traffic import simulate
from pilot.core.snapshot import MeshSnapshot

REVIEWS = "outbound|9080||reviews.shop.svc.cluster.local"
RATINGS = "outbound|9080||ratings.shop.svc.cluster.local"
NODE = {
    "id": "router~10.1.0.30~ingress-1.edge~edge.svc.cluster.local",
    "metadata": {"NAMESPACE": "edge", "SERVICE_ACCOUNT": "ingress", "LABELS": {"app": "ingress"}},
}
MESH = """
apiVersion: v1
kind: Service
metadata: {name: ingress, namespace: edge}
spec:
  selector: {app: ingress}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: https, port: 443, targetPort: 8443}]
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: shop}
spec: {selector: {app: ratings}, ports: [{name: http, port: 9080}]}
---
"""


def server(port: int, protocol: str, hosts: str, tls: str = "", name: str = "") -> str:
    return (
        f"  - port: {{number: {port}, name: {name or protocol.lower()}, protocol: {protocol}}}\n    hosts: {hosts}\n"
    ) + (f"    tls: {tls}\n" if tls else "")


def gateway(name: str, *servers: str, namespace: str = "edge", created: str = "2024-01-01T00:00:00Z") -> str:
    metadata = f'{{name: {name}, namespace: {namespace}, creationTimestamp: "{created}"}}'
    head = f"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {metadata}\nspec:\n"
    return f"{head}  selector: {{app: ingress}}\n  servers:\n{''.join(servers)}---\n"


def bound(name: str, hosts: str, rules: str, gateways: str = "[edge/public]", age: int = 1) -> str:
    metadata = f'{{name: {name}, namespace: shop, creationTimestamp: "2024-01-0{age}T00:00:00Z"}}'
    head = f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {metadata}\nspec:\n"
    return f"{head}  hosts: {hosts}\n  gateways: {gateways}\n{rules}\n---\n"


def to(host: str, match: str = "") -> str:
    return f"  http:\n  - route: [{{destination: {{host: {host}}}}}]\n" + (f"    match: [{match}]\n" if match else "")


def tls(sni: str, host: str) -> str:
    return f"  tls:\n  - match: [{{sniHosts: [{sni}]}}]\n    route: [{{destination: {{host: {host}}}}}]\n"


@pytest.fixture
def compiled(objects):
    def compile_(text: str, node=NODE) -> ResourceSet:
        snapshot = MeshSnapshot.of(objects(MESH + text))
        return compile_resources(snapshot, classify(parse_node(node), snapshot.selection))

    return compile_


def at(resources: ResourceSet, host: str, port: int = 8080, **more) -> Outcome:
    return simulate(resources, Call(host, port, **more))


HTTP = gateway("public", server(80, "HTTP", "[shop/*.shop.example, any.example]"))


def test_a_request_goes_where_the_bound_virtual_service_says(compiled):
    resources = compiled(HTTP + bound("v", "[a.shop.example]", to("reviews")))
    assert at(resources, "a.shop.example").shares == {REVIEWS: 100.0}
    assert at(resources, "A.Shop.Example").shares == {REVIEWS: 100.0}


def test_the_service_of_the_gateway_says_which_port_is_bound(compiled):
    resources = compiled(HTTP + bound("v", "[a.shop.example]", to("reviews")))
    assert at(resources, "a.shop.example", 80).refused
    alone = NODE | {"metadata": NODE["metadata"] | {"LABELS": {"app": "ingress"}, "NAMESPACE": "elsewhere"}}
    assert at(compiled(HTTP + bound("v", "[a.shop.example]", to("reviews")), alone), "a.shop.example", 80).shares


def test_a_service_may_say_that_its_ports_are_not_those_of_gateways(objects):
    label = "experimental.istio.io/disable-gateway-port-translation"
    text = MESH.replace(
        "metadata: {name: ingress, namespace: edge}",
        f"metadata: {{name: ingress, namespace: edge, labels: {{{label}: 'true'}}}}",
    )
    snapshot = MeshSnapshot.of(objects(text + HTTP + bound("v", "[a.shop.example]", to("reviews"))))
    resources = compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection))
    assert at(resources, "a.shop.example", 80).shares == {REVIEWS: 100.0}
    assert at(resources, "a.shop.example", 8080).refused


@pytest.mark.parametrize("host", ["unknown.example", "b.shop.example", "shop.example"])
def test_an_unknown_host_gets_404(compiled, host):
    assert at(compiled(HTTP + bound("v", "[a.shop.example]", to("reviews"))), host).status == 404
    assert at(compiled(HTTP), host).status == 404


@pytest.mark.parametrize("form", ["edge/public", "public.edge", "public.edge.svc.cluster.local"])
def test_every_form_of_a_gateways_name(compiled, form):
    assert at(compiled(HTTP + bound("v", "[any.example]", to("reviews"), f"[{form}]")), "any.example").shares


def test_names_without_a_namespace_are_the_virtual_services_own():
    assert gateway_name("gw", "shop") == gateway_name("./gw", "shop") == gateway_name("gw.shop", "a") == "shop/gw"
    assert gateway_name("mesh", "shop") == "mesh"


def test_a_server_takes_hosts_of_the_namespaces_that_it_names_only(compiled):
    elsewhere = bound("v", "[a.shop.example, any.example]", to("reviews.shop.svc.cluster.local")).replace(
        "namespace: shop", "namespace: other"
    )
    resources = compiled(HTTP + elsewhere)
    assert at(resources, "a.shop.example").status == 404
    assert at(resources, "any.example").shares == {REVIEWS: 100.0}


def test_several_virtual_services_on_one_host_are_joined_catch_alls_last(compiled):
    text = HTTP + bound("all", "[any.example]", to("reviews"), age=1)
    text += bound("path", "[any.example]", to("ratings", "{uri: {prefix: /stars}}"), age=2)
    resources = compiled(text)
    assert at(resources, "any.example", path="/stars/5").shares == {RATINGS: 100.0}
    assert at(resources, "any.example", path="/").shares == {REVIEWS: 100.0}


def test_the_most_specific_host_of_two_wins(compiled):
    text = gateway("public", server(80, "HTTP", '["*"]')) + bound("all", '["*"]', to("reviews"))
    resources = compiled(text + bound("one", "[one.example]", to("ratings")))
    assert at(resources, "one.example").shares == {RATINGS: 100.0}
    assert at(resources, "two.example").shares == {REVIEWS: 100.0}


def test_a_match_for_the_mesh_or_another_gateway_or_port_does_not_count(compiled):
    for match in ("{gateways: [mesh]}", "{gateways: [edge/other]}", "{port: 8080}", "{sourceNamespace: shop}"):
        assert at(compiled(HTTP + bound("v", "[any.example]", to("reviews", match))), "any.example").status == 404
    for match in ("{gateways: [mesh, edge/public]}", "{port: 80}", "{sourceNamespace: edge}"):
        assert at(compiled(HTTP + bound("v", "[any.example]", to("reviews", match))), "any.example").shares


def test_gateways_of_any_namespace_share_a_port(compiled):
    other = gateway("more", server(80, "HTTP", "[more.example]"), namespace="shop")
    text = HTTP + other + bound("v", "[any.example, more.example]", to("reviews"), "[edge/public, more]")
    resources = compiled(text)
    assert at(resources, "any.example").shares == at(resources, "more.example").shares == {REVIEWS: 100.0}


def test_a_redirect_to_https_needs_no_virtual_service(compiled):
    resources = compiled(gateway("public", server(80, "HTTP", "[a.example]", "{httpsRedirect: true}")))
    outcome = at(resources, "a.example", path="/x")
    assert (outcome.status, outcome.location) == (301, "https://a.example/x")


CERT = "{mode: SIMPLE, credentialName: cert}"
HTTPS = gateway(
    "public",
    server(443, "HTTPS", "[a.example]", CERT, "one"),
    server(443, "HTTPS", '["*.example"]', CERT, "two"),
    server(443, "TLS", "[pass.test]", "{mode: PASSTHROUGH}", "three"),
)


def test_the_server_name_chooses_the_server(compiled):
    text = HTTPS + bound("one", "[a.example]", to("reviews")) + bound("two", "[b.example]", to("ratings"))
    text += bound("three", "[pass.test]", tls("pass.test", "ratings"))
    resources = compiled(text)
    one = at(resources, "a.example", 8443, tls=True, sni="a.example")
    assert (one.shares, one.terminates_mtls) == ({REVIEWS: 100.0}, True)
    assert at(resources, "b.example", 8443, tls=True, sni="b.example").shares == {RATINGS: 100.0}
    assert at(resources, "b.example", 8443, tls=True, sni="a.example").status == 404
    passed = at(resources, "", 8443, tls=True, sni="pass.test", is_http=False)
    assert (passed.shares, passed.terminates_mtls) == ({"outbound|9080||ratings.shop.svc.cluster.local": 100.0}, False)
    assert at(resources, "", 8443, tls=True, sni="nobody.test").refused


def test_of_two_servers_for_one_name_the_older_gateways_counts(compiled):
    young = gateway("young", server(443, "HTTPS", "[a.example]", CERT), created="2025-01-01T00:00:00Z")
    text = young + HTTPS + bound("old", "[a.example]", to("reviews"))
    resources = compiled(text + bound("young", "[a.example]", to("ratings"), "[edge/young]"))
    assert at(resources, "a.example", 8443, tls=True, sni="a.example").shares == {REVIEWS: 100.0}
    assert [item.code for item in resources.diagnostics] == ["gateway-server-refused"]


def test_no_gateway_takes_a_port_of_the_proxy_itself(compiled):
    ports = (15000, 15020, 15021, 15090, 80)
    resources = compiled(gateway("public", *(server(port, "HTTP", '["*"]', name=f"p{port}") for port in ports)))
    assert list(resources.resources[LISTENER_TYPE]) == ["0.0.0.0_8080"]
    assert [item.code for item in resources.diagnostics] == ["gateway-server-refused"] * 4
    assert "port 15000 is one of the proxy's own" in resources.diagnostics[0].message


def test_a_server_name_that_is_not_for_the_namespace_is_not_taken_through_a_host_that_is(compiled):
    passing = "{mode: PASSTHROUGH}"
    shared = gateway(
        "public",
        server(443, "TLS", '["shop/*.shop.test"]', passing, "shop"),
        server(443, "TLS", '["bank/pay.test"]', passing, "bank"),
    )
    both = "[x.shop.test, pay.test]"
    theirs = bound("pay", "[pay.test]", tls("pay.test", "reviews.shop.svc.cluster.local"), age=2)
    theirs = theirs.replace("namespace: shop", "namespace: bank")
    resources = compiled(shared + bound("greedy", both, tls("pay.test", "ratings")) + theirs)
    assert at(resources, "", 8443, tls=True, sni="pay.test", is_http=False).shares == {REVIEWS: 100.0}
    assert at(resources, "", 8443, tls=True, sni="x.shop.test", is_http=False).refused


def test_bytes_go_to_the_first_rule_that_fits(compiled):
    tcp = "  tcp:\n  - match: [{port: 9999}]\n    route: [{destination: {host: ratings}}]\n"
    tcp += "  - route: [{destination: {host: reviews}}]"
    resources = compiled(gateway("public", server(3000, "TCP", '["*"]')) + bound("v", '["*"]', tcp))
    assert at(resources, "", 3000, is_http=False).shares == {REVIEWS: 100.0}


def test_the_name_that_a_sidecar_sends_chooses_the_cluster(compiled):
    resources = compiled(gateway("public", server(15443, "TLS", '["*.local"]', "{mode: AUTO_PASSTHROUGH}")))
    name = "outbound_.9080_._.reviews.shop.svc.cluster.local"
    assert at(resources, "", 15443, tls=True, sni=name, alpn=("istio",), is_http=False).shares == {name: 100.0}
    assert at(resources, "", 15443, tls=True, sni=name, alpn=("h2",), is_http=False).refused
    assert dangling(resources) == ()


def test_a_sidecar_has_nothing_of_gateways(compiled):
    sidecar = NODE | {"id": "sidecar~10.1.0.30~x.edge~edge.svc.cluster.local"}
    text = HTTP + bound("v", "[any.example]", to("reviews"))
    assert compiled(text, sidecar).resources == compiled("", sidecar).resources
