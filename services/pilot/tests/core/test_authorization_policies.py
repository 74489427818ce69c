"""AuthorizationPolicies in listeners: for whom, where in the chain, what a change reaches, and what they say."""

import re

import pytest
from meshcore.model.load import parse_object
from meshcore.xds import registry
from meshcore.xds.types import LISTENER_TYPE
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.compiler.authorization.trust_domains import domains_with_aliases, with_aliases
from pilot.core.compiler.authorization.wide_values import wide_host, wide_list
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.simulation import Arrival, Asked, Decision, admission, arrive
from pilot.core.snapshot import MeshSnapshot

NODE = {
    "id": "sidecar~10.1.0.9~web-1.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "web", "LABELS": {"app": "web", "tier": "front"}},
}
WEB = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 8080}, {name: tcp, port: 9000}]}
---
"""
ANN = "spiffe://cluster.local/ns/shop/sa/ann"


def policy(spec: str, namespace: str = "shop", name: str = "p", annotations: str = "{}") -> str:
    metadata = f"{{name: {name}, namespace: {namespace}, annotations: {annotations}}}"
    return f"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {metadata}\nspec: {spec}\n---\n"


def mesh_config(text: str) -> str:
    metadata = "{name: istio, namespace: istio-system}"
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {metadata}\ndata: {{mesh: '{text}'}}\n---\n"


@pytest.fixture
def resources_of(objects):
    def made(text: str):
        snapshot = MeshSnapshot.of(objects(WEB + text))
        return compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection))

    return made


@pytest.fixture
def says(resources_of):
    """What the policies say of a request (a connection to port 9000, when it is no HTTP)."""

    def made(text: str, **asked):
        port = 8080 if asked.get("is_http", True) else 9000
        found = arrive(resources_of(text), Arrival(port, is_http=port == 8080))
        return admission(found.chain_message, Asked(destination_port=port, **asked))

    return made


def http_filters(resources) -> list[str]:
    listener = registry.parse(LISTENER_TYPE, resources.of_type(LISTENER_TYPE)["virtualInbound"].body)
    managers = [registry.unpack(chain.filters[-1].typed_config) for chain in listener.filter_chains]
    manager = next(item for item in managers if item.DESCRIPTOR.name == "HttpConnectionManager")
    return [item.name.removeprefix("envoy.filters.http.") for item in manager.http_filters]


def test_without_policies_there_is_no_filter(resources_of):
    assert "rbac" not in http_filters(resources_of(""))
    assert "rbac" not in http_filters(resources_of(policy("{selector: {matchLabels: {app: other}}}")))
    assert "rbac" not in http_filters(resources_of(policy("{}", "other")))


def test_an_authorizer_stands_before_tokens_and_these_before_the_rest(resources_of):
    found = resources_of(
        policy("{action: CUSTOM, provider: {name: nobody}, rules: [{}]}", name="ask")
        + policy("{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}]}", name="deny")
        + policy("{action: AUDIT, rules: [{}]}", name="watch")
        + policy("{}", name="allow")
        + "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: shop}\n"
        "spec: {jwtRules: [{issuer: i, jwks: '{\"keys\": []}'}]}\n"
    )
    assert http_filters(found)[:5] == ["rbac", "jwt_authn", "rbac", "rbac", "rbac"]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (policy("{}", "istio-system"), True),
        (policy("{selector: {matchLabels: {tier: front}}}", "istio-system"), True),
        (policy("{selector: {matchLabels: {app: web, tier: back}}}"), False),
        (policy("{targetRefs: [{kind: Service, name: web}]}"), False),
        (policy("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: web}]}"), False),
        (mesh_config("rootNamespace: roots") + policy("{}", "roots"), True),
        (mesh_config("rootNamespace: roots") + policy("{}", "istio-system"), False),
    ],
)
def test_for_whom_a_policy_is(says, text, counts):
    assert says(text).denied is counts


def test_what_decides_is_named(says):
    text = policy("{rules: [{to: [{operation: {methods: [GET]}}]}, {from: [{source: {principals: ['*/sa/ann']}}]}]}")
    assert (says(text).rule, says(text, method="PUT", principal=ANN).rule) == ("shop/p rule 0", "shop/p rule 1")
    refused = says(text, method="PUT")
    assert [(miss.rule, miss.why) for miss in refused.misses] == [
        ("shop/p rule 0", "the method is PUT"),
        ("shop/p rule 1", "the caller proves no identity"),
    ]


def test_the_nearest_miss_comes_first(says):
    far = "{from: [{source: {ipBlocks: [10.0.0.1]}}], to: [{operation: {methods: [PUT]}}]}"
    near = "{from: [{source: {ipBlocks: [10.0.0.2]}}], to: [{operation: {methods: [PUT]}}]}"
    refused = says(policy(f"{{rules: [{far}, {near}]}}"), source_ip="10.0.0.2")
    assert [miss.rule for miss in refused.misses] == ["shop/p rule 1", "shop/p rule 0"]
    assert refused.misses[1].why == "the method is GET and the caller's address is 10.0.0.2"


def test_what_is_excepted_is_said(says):
    text = policy("{rules: [{to: [{operation: {notPaths: ['/admin*']}}]}]}")
    assert says(text, path="/admin/x").misses[0].why == "the path is /admin/x, which is excepted"
    assert not says(text, path="/x").denied


def test_claims_are_what_the_question_says(says):
    text = policy("{rules: [{when: [{key: 'request.auth.claims[group]', values: [a]}]}]}")
    listed = {"envoy.filters.http.jwt_authn": {"payload": {"group": ["b", "a"]}}}
    assert not says(text, metadata=listed).denied
    assert says(text).misses[0].why == "there is no group of a token"


def test_who_is_asked_must_be_allowed_too(says):
    ask = mesh_config(
        "{extensionProviders: [{name: judge, envoyExtAuthzGrpc: {service: web.shop.svc.cluster.local, port: 8080}}]}"
    )
    ask += policy("{action: CUSTOM, provider: {name: judge}, rules: [{}]}", name="ask")
    assert says(ask).decision is Decision.ASKED
    assert says(ask + policy("{action: DENY, rules: [{}]}", name="deny")).rule == "shop/deny rule 0"
    assert says(ask + policy("{rules: [{}]}", name="allow")).decision is Decision.ASKED


def test_of_several_providers_all_must_allow_where_the_mesh_lets_a_workload_have_them(says):
    judge = "envoyExtAuthzGrpc: {service: web.shop.svc.cluster.local, port: 8080}"
    providers = f"extensionProviders: [{{name: judge, {judge}}}, {{name: jury, {judge}}}]"
    ask = policy("{action: CUSTOM, provider: {name: judge}, rules: [{}]}", name="ask")
    ask += policy("{action: CUSTOM, provider: {name: jury}, rules: [{}]}", name="ask-too")
    assert says(mesh_config(f"{{{providers}}}") + ask).denied
    switch = 'defaultConfig: {proxyMetadata: {PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS: "true"}}'
    found = says(mesh_config(f"{{{switch}, {providers}}}") + ask)
    assert found.decision is Decision.ASKED
    assert found.why == "shop/ask rule 0 asks the provider judge, and shop/ask-too rule 0 asks the provider jury"


def test_what_runs_dry_is_only_told(says):
    found = says(policy("{action: DENY, rules: [{}]}", annotations="{istio.io/dry-run: 'true'}"))
    assert (found.decision, found.notes) == (Decision.ALLOWED, ("dry run: shop/p rule 0 would deny it",))
    assert says(policy("{action: DENY, rules: [{}]}", annotations="{istio.io/dry-run: 'perhaps'}")).denied


def test_attributes_of_http_on_a_connection_of_bytes(says):
    assert says(policy("{rules: [{to: [{operation: {methods: [GET]}}]}]}"), is_http=False).denied
    assert says(policy("{action: DENY, rules: [{to: [{operation: {hosts: [a]}}]}]}"), is_http=False).denied
    kept = "{action: DENY, rules: [{to: [{operation: {hosts: [a], ports: ['8080']}}]}]}"
    assert not says(policy(kept), is_http=False).denied
    unless = "{action: DENY, rules: [{to: [{operation: {notMethods: [GET]}}]}]}"
    assert says(policy(unless), is_http=False).denied


def test_what_cannot_be_built_denies_rather_than_allows(says):
    """Validation refuses such policies; one that came all the same opens nothing."""
    assert says(policy("{rules: [{from: [{source: {ipBlocks: [nonsense]}}]}]}"), source_ip="10.0.0.1").denied
    assert says(policy("{rules: [{to: [{operation: {paths: ['a/{*}']}}]}]}")).denied
    assert says(policy("{action: DENY, rules: [{to: [{operation: {paths: ['a/{*}']}}]}]}")).denied
    assert says(policy("{rules: [{when: [{key: nonsense, values: [a]}]}]}")).denied


@pytest.mark.parametrize("name", ["a[b", "a.b", "(a", "a+", "a\\", "a|b", "^a$", "a{2}"])
def test_attack_35_signs_of_expressions_mean_themselves(says, name):
    def lets_in(source: str, caller: str) -> bool:
        quoted = name.replace("'", "''")
        text = policy(f"{{rules: [{{from: [{{source: {source % quoted}}}]}}]}}")
        return not says(text, principal=f"spiffe://cluster.local/{caller}").denied

    for source, form in (
        ("{namespaces: ['%s']}", "ns/%s/sa/x"),
        ("{principals: ['*/sa/%s']}", "ns/x/sa/%s"),
        ("{serviceAccounts: ['x/%s']}", "ns/x/sa/%s"),
    ):
        assert lets_in(source, form % name), source
        assert not lets_in(source, form % "ab"), source
        assert not lets_in(source, form % "aab"), source
    assert not lets_in("{trustDomains: ['*%s']}", "ns/x/sa/x")


@pytest.mark.parametrize(
    ("value", "met", "missed"),
    [
        ("a.b", ["a.b", "A.B", "a.b:80", "a.b.", "u@a.b", "u:p@a.b.:8"], ["a.b.c", "axb", "xa.b", "a.b:8:8"]),
        ("a.b:80", ["a.b:80", "u@a.b.:80"], ["a.b", "a.b:81"]),
        ("*.b", ["a.b", "x.a.b:80", "a.B."], [".c", "a.bc"]),
        ("a.*", ["a.b", "a.b:80", "u@a.b"], ["b.a."]),
        ("[::1]", ["[::1]", "[::1]:80"], ["[::2]"]),
    ],
)
def test_hosts_in_every_spelling(value, met, missed):
    expression = wide_host(value).safe_regex.regex
    assert [text for text in met if not re.fullmatch(expression, text)] == []
    assert [text for text in missed if re.fullmatch(expression, text)] == []


@pytest.mark.parametrize(
    ("value", "met", "missed"),
    [
        ("a", ["a", "b,a", "a,b", "b, a ,c"], ["ab", "b", "", "b;a"]),
        ("a*", ["a", "ab", "x, ab,y"], ["ba", ""]),
        ("*a", ["a", "ba", "x,ba ,y"], ["ab"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_values_of_headers_in_lists(value, met, missed):
    expression = wide_list("x-role", value).safe_regex.regex
    assert [text for text in met if not re.fullmatch(expression, text)] == []
    assert [text for text in missed if re.fullmatch(expression, text)] == []


def test_aliases_of_the_trust_domain():
    domains = ("new", "old")
    assert with_aliases(["old/ns/a/sa/b", "x/ns/a/sa/b", "*", "short"], domains) == (
        "new/ns/a/sa/b",
        "old/ns/a/sa/b",
        "x/ns/a/sa/b",
        "*",
        "short",
    )
    assert with_aliases(["cluster.local/ns/a/sa/b"], ("new",)) == ("new/ns/a/sa/b",)
    assert domains_with_aliases(["old", "x", "new"], domains) == ("new", "old", "x")


def test_a_policy_of_others_changes_nothing_and_memos_hold(objects):
    cache = CompileCache()
    snapshot = MeshSnapshot.of(objects(WEB + policy("{}")))
    one = classify(parse_node(NODE), snapshot.selection)
    before = compile_resources(snapshot, one, cache)
    after = snapshot.supposing([(item, False) for item in objects(policy("{}", "other"))])
    again = compile_resources(after, classify(parse_node(NODE), after.selection), cache)
    assert again.of_type(LISTENER_TYPE)["virtualInbound"] is before.of_type(LISTENER_TYPE)["virtualInbound"]
    removed = snapshot.supposing(
        [(parse_object(item.model_dump(by_alias=True, mode="json")), True) for item in objects(policy("{}"))]
    )
    assert "rbac" not in http_filters(compile_resources(removed, one, cache))


def test_listeners_name_the_policies_that_made_them(resources_of):
    origins = resources_of(policy("{}", name="mine")).of_type(LISTENER_TYPE)["virtualInbound"].origins
    assert ("AuthorizationPolicy", "shop", "mine") in {(one.kind, one.namespace, one.name) for one in origins}
