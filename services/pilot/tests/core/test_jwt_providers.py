"""Who fetches the keys of an issuer, and what a proxy is told to do with its tokens."""

import pytest
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.model.load import parse_object
from meshcore.testing.envoy import validate
from meshcore.xds.registry import parse
from meshcore.xds.types import LISTENER_TYPE
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.issuer_keys import PLACEHOLDER, IssuerKeys, KeyFetching, KeySource
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

NODE = {
    "id": "sidecar~10.1.0.2~a.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "LABELS": {"app": "a"}},
}
URI = "http://issuer.mesh:7000/keys"
CACHE = CompileCache()


def service(name, namespace, port):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"app": "a"},
            "clusterIP": "10.0.0.7",
            "ports": [{"name": "http", "port": port, "targetPort": port}],
        },
    }


def policy(*rules, name="p", namespace="shop"):
    metadata = {"name": name, "namespace": namespace}
    spec = {"jwtRules": list(rules)}
    return {"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "metadata": metadata, "spec": spec}


def compiled(keys, *documents):
    snapshot = MeshSnapshot.of([parse_object(item) for item in (service("a", "shop", 9080), *documents)])
    snapshot = snapshot.with_keys(keys)
    return compile_resources(snapshot, classify(parse_node(NODE), snapshot.selection), CACHE)


def authentications(resources):
    """The JWT configuration of each connection manager by which requests come in."""
    found = []
    for item in resources.of_type(LISTENER_TYPE).values():
        for chain in parse(LISTENER_TYPE, item.body).filter_chains:
            for network in chain.filters:
                if network.typed_config.Is(http_connection_manager_pb2.HttpConnectionManager.DESCRIPTOR):
                    manager = http_connection_manager_pb2.HttpConnectionManager.FromString(network.typed_config.value)
                    found += [
                        config_pb2.JwtAuthentication.FromString(one.typed_config.value)
                        for one in manager.http_filters
                        if one.name == "envoy.filters.http.jwt_authn"
                    ]
    return found


def provider(resources, name="origins-0"):
    configs = authentications(resources)
    assert configs
    assert all(config == configs[0] for config in configs)
    return configs[0].providers[name]


@pytest.mark.parametrize(
    ("fetching", "has_service", "remote", "code"),
    [
        (KeyFetching.PILOT, True, "", "jwks-not-fetched"),
        (KeyFetching.HYBRID, True, "outbound|7000||issuer.mesh.svc.cluster.local", None),
        (KeyFetching.HYBRID, False, "", "jwks-not-fetched"),
        (KeyFetching.ENVOY, True, "outbound|7000||issuer.mesh.svc.cluster.local", None),
        (KeyFetching.ENVOY, False, "outbound|7000||issuer.mesh", "jwks-not-reachable"),
    ],
)
def test_envoy_fetches_keys_where_it_is_to_and_can(fetching, has_service, remote, code):
    services = [service("issuer", "mesh", 7000)] if has_service else []
    resources = compiled(IssuerKeys(fetching), policy({"issuer": "i", "jwksUri": URI, "timeout": "2s"}), *services)
    found = provider(resources)
    assert found.remote_jwks.http_uri.cluster == remote
    assert found.remote_jwks.http_uri.timeout.seconds == (2 if remote else 0)
    assert found.local_jwks.inline_string == ("" if remote else PLACEHOLDER)
    assert [item.code for item in resources.diagnostics] == ([code] if code else [])
    validate(as_bootstrap(resources, NODE))


def test_other_keys_change_the_filter_and_nothing_else():
    source = KeySource("i", URI)
    one = compiled(IssuerKeys(sets={source: '{"keys":[1]}'}), policy({"issuer": "i", "jwksUri": URI}))
    two = compiled(IssuerKeys(sets={source: '{"keys":[2]}'}), policy({"issuer": "i", "jwksUri": URI}))
    assert provider(one).local_jwks.inline_string == '{"keys":[1]}'
    assert provider(two).local_jwks.inline_string == '{"keys":[2]}'
    changed = {
        (kind, name)
        for kind, named in one.resources.items()
        for name, resource in named.items()
        if two.resources[kind][name].body != resource.body
    }
    assert changed == {(LISTENER_TYPE, "virtualInbound")}


def test_a_failed_fetch_says_why_in_the_name_of_the_policy():
    keys = IssuerKeys().failing({KeySource("i", URI): "the answer has status 404"})
    (problem,) = compiled(keys, policy({"issuer": "i", "jwksUri": URI})).diagnostics
    assert problem.config == "/apis/security.istio.io/v1/namespaces/shop/request-authentication/p"
    assert "status 404" in problem.message


def test_older_keys_stay_in_use_while_the_issuer_is_away():
    source = KeySource("i", URI)
    keys = IssuerKeys(sets={source: '{"keys":[1]}'}).failing({source: "the answer has status 500"})
    resources = compiled(keys, policy({"issuer": "i", "jwksUri": URI}))
    assert provider(resources).local_jwks.inline_string == '{"keys":[1]}'
    assert resources.diagnostics == ()


def test_rules_of_all_policies_stand_by_issuer_whoever_is_older():
    places = (("z", "shop"), ("a", "istio-system"))
    rules = [policy({"issuer": text, "jwks": "{}"}, name=text, namespace=space) for text, space in places]
    (config, *_) = authentications(compiled(IssuerKeys(), *rules))
    assert [config.providers[f"origins-{index}"].issuer for index in range(2)] == ["a", "z"]


def test_a_policy_without_rules_asks_for_nothing():
    assert authentications(compiled(IssuerKeys(), policy())) == []
