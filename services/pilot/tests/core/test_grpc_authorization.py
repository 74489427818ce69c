"""AuthorizationPolicies at gRPC servers without a proxy: each case of `grpc_testdata` is what one server is sent. Envoy
does not read their TLS; that a stock library takes them is shown with one."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.model.load import parse_object
from meshcore.testing.golden import case_directories, to_yaml
from meshcore.xds.constraints import violations
from meshcore.xds.references import dangling
from meshcore.xds.registry import parse
from meshcore.xds.types import LISTENER_TYPE
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.config_dump import resources_of_type
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

TESTDATA = Path(__file__).parents[1] / "grpc_testdata"
NODE = {
    "id": "sidecar~10.1.0.2~reviews.shop~shop.svc.cluster.local",
    "metadata": {"GENERATOR": "grpc", "NAMESPACE": "shop", "LABELS": {"app": "reviews"}},
}
SERVED = "xds.istio.io/grpc/lds/inbound/10.1.0.2:50051"
MESH = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.0.0.2, selector: {app: reviews}, ports: [{name: grpc, port: 9080, targetPort: 50051}]}
"""
PEERS = """
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: %s}}
"""
DENY = """
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec: {action: DENY, rules: [%s]}
"""


def compiled(text, cache=None):
    snapshot = MeshSnapshot.of(map(parse_object, yaml.safe_load_all(text)))
    return compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection), cache)


def filters_of(made):
    listener = parse(LISTENER_TYPE, made.of_type(LISTENER_TYPE)[SERVED].body)
    packed = listener.filter_chains[0].filters[0].typed_config
    return http_connection_manager_pb2.HttpConnectionManager.FromString(packed.value).http_filters


def rules_in(made):
    return {
        item.name.rpartition(".")[2]: http_rbac_pb2.RBAC.FromString(item.typed_config.value).rules
        for item in filters_of(made)
        if item.name.startswith("envoy.filters.http.rbac")
    }


@pytest.mark.parametrize("case", case_directories(TESTDATA))
def test_golden(case, golden):
    made = compiled((case / "in.yaml").read_text())
    served = [item for item in resources_of_type(made, LISTENER_TYPE) if item["name"] == SERVED]
    outputs = {"listeners.yaml": to_yaml(served)}
    if made.diagnostics:
        found = [{**asdict(item), "severity": str(item.severity)} for item in made.diagnostics]
        outputs["diagnostics.yaml"] = to_yaml(found)
    golden(case, outputs, inputs=("in.yaml",))
    assert dangling(made) == ()
    for resource in made.of_type(LISTENER_TYPE).values():
        assert list(violations(parse(LISTENER_TYPE, resource.body))) == []


@pytest.mark.parametrize("case", case_directories(TESTDATA))
def test_filters_have_names_of_their_own_and_no_principal_is_an_expression(case):
    made = compiled((case / "in.yaml").read_text())
    names = [item.name for item in filters_of(made)]
    assert len(set(names)) == len(names)
    assert names[-1] == "envoy.filters.http.router"
    found = [
        one for rules in rules_in(made).values() for policy in rules.policies.values() for one in policy.principals
    ]
    assert found
    assert not [text for one in found for text in expressions(one) if "spiffe" in text or text == ".+"]


def expressions(message):
    """The regular expressions anywhere in a message about principals."""
    for field, value in message.ListFields():
        if field.name == "regex":
            yield value
        elif field.type == field.TYPE_MESSAGE:
            for item in value if field.is_repeated else [value]:
                yield from expressions(item)


def test_without_mtls_and_policies_there_is_no_filter_but_the_router():
    assert [item.name for item in filters_of(compiled(MESH + PEERS % "DISABLE"))] == ["envoy.filters.http.router"]
    assert list(rules_in(compiled(MESH + PEERS % "STRICT"))) == ["trust-domains"]


@pytest.mark.parametrize(
    "rule",
    [
        "{from: [{source: {notRequestPrincipals: ['*']}}]}",
        "{from: [{source: {remoteIpBlocks: [10.0.0.0/8]}}]}",
        "{when: [{key: 'request.headers[grpc-timeout]', values: [x]}]}",
        "{when: [{key: connection.sni, values: [x]}]}",
        "{to: [{operation: {paths: ['/{*}/x']}}]}",
    ],
)
def test_a_rule_that_denies_by_what_grpc_does_not_know_denies_all_of_the_rest(rule):
    made = compiled(MESH + DENY % rule)
    (policy,) = rules_in(made)["deny"].policies.values()
    anything = rbac_pb2.Permission(any=True)
    assert list(policy.permissions) == [rbac_pb2.Permission(and_rules=rbac_pb2.Permission.Set(rules=[anything]))]
    (problem,) = made.diagnostics
    assert (problem.code, problem.severity) == ("authorization-not-known-to-grpc", "error")
    assert "denies there whatever the rest" in problem.message


TOKENS = """
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec: {jwtRules: [{issuer: me, jwks: '{"keys": []}'%s}]}
"""


@pytest.mark.parametrize(
    ("more", "denied"),
    [
        ("", [("authorization", "Bearer ")]),
        (", fromHeaders: [{name: X-Token, prefix: 'jwt '}, {name: X-Bare}]", [("x-bare", None), ("x-token", "jwt ")]),
        (", fromCookies: [session]", [("cookie", "session=")]),
        (", fromParams: [token]", []),
        (
            ", outputPayloadToHeader: X-Payload, outputClaimToHeaders: [{header: X-Sub, claim: sub}]",
            [("x-sub", None), ("x-payload", None), ("authorization", "Bearer ")],
        ),
    ],
)
def test_calls_with_tokens_are_denied_where_nobody_can_check_them(more, denied):
    rules = rules_in(compiled(MESH + TOKENS % more))
    found = rules.get("tokens", rbac_pb2.RBAC()).policies
    headers = [permission.header for policy in found.values() for permission in policy.permissions]
    told = {(one.name, None if one.present_match else one.string_match.contains) for one in headers}
    assert told == set(denied)
    assert all(one.string_match.ignore_case for one in headers if not one.present_match)


def test_every_call_is_denied_where_a_library_cannot_look_for_the_token():
    rules = rules_in(compiled(MESH + TOKENS % ", fromHeaders: [{name: token-bin}]"))
    (policy,) = rules["tokens"].policies.values()
    assert list(policy.permissions) == [rbac_pb2.Permission(any=True)]


def test_memos_hold_and_changes_are_seen():
    cache = CompileCache()
    first = compiled(MESH + DENY % "{}", cache)
    assert rules_in(first)["deny"].policies
    again = compiled(MESH + DENY % "{}", CompileCache())
    assert first.of_type(LISTENER_TYPE)[SERVED].version == again.of_type(LISTENER_TYPE)[SERVED].version
    assert "deny" not in rules_in(compiled(MESH, cache))
