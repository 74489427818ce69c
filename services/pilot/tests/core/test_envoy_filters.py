"""EnvoyFilters: whatever they say, what is emitted is what Envoy takes; merging; and that without patches nothing is
paid."""

import random
from types import SimpleNamespace

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.errors import MeshError
from meshcore.model.load import parse_object
from meshcore.testing.envoy import validate
from meshcore.xds.fragment import FRAGMENTS
from meshcore.xds.merging import merge
from meshcore.xds.registry import message_class
from meshcore.xds.types import CLUSTER_TYPE
from pilot.core.bootstrap_form import as_bootstrap
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

CLIENT = {
    "id": "sidecar~10.1.0.9~client.shop~shop.svc.cluster.local",
    "metadata": {"NAMESPACE": "shop", "LABELS": {"app": "client"}},
}
EXTENSIONS = "type.googleapis.com/envoy.extensions."
MANAGER = "envoy.filters.network.http_connection_manager"


def typed(name: str, **fields):
    return {"@type": EXTENSIONS + name, **fields}


def service(name: str, address: str, port: int, port_name: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "clusterIP": address,
            "selector": {"app": name},
            "ports": [{"name": port_name, "port": port, "targetPort": port}],
        },
    }


WORLD = [
    service("client", "10.0.0.1", 80, "http"),
    service("reviews", "10.0.0.2", 9080, "http"),
    service("db", "10.0.0.3", 5432, "tcp"),
]


def envoy_filter(patches: list, name: str = "f", priority: int = 0) -> dict:
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"priority": priority, "configPatches": patches},
    }


def compiled(documents: list, cache: CompileCache | None = None):
    snapshot = MeshSnapshot.of([parse_object(item) for item in documents])
    return compile_resources(snapshot, classify(parse_node(CLIENT), snapshot.selection), cache)


tcp = typed("filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="s", cluster="BlackHoleCluster")
values = {
    "LISTENER": [
        {"name": "own", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 7777}}},
        {"per_connection_buffer_limit_bytes": 5},
        {"filter_chains": [{"filters": [{"name": "t", "typed_config": tcp}]}]},
        {"listener_filters_timeout": "0.5s", "address": {"pipe": {"path": "/tmp/x"}}},
    ],
    "LISTENER_FILTER": [
        {"name": "p", "typed_config": typed("filters.listener.proxy_protocol.v3.ProxyProtocol")},
        {"name": "p"},
    ],
    "FILTER_CHAIN": [
        {"filters": [{"name": "t", "typed_config": tcp}]},
        {"name": "c", "filter_chain_match": {"destination_port": 80, "transport_protocol": "tls"}},
        {"filter_chain_match": {"server_names": ["a.example"]}},
    ],
    "NETWORK_FILTER": [
        {"name": "t", "typed_config": tcp},
        {"name": "s", "typed_config": typed("filters.network.sni_cluster.v3.SniCluster")},
        {"name": MANAGER, "typed_config": typed(MANAGER[6:] + ".v3.HttpConnectionManager", xff_num_trusted_hops=1)},
        {"name": "u"},
    ],
    "HTTP_FILTER": [
        {"name": "b", "typed_config": typed("filters.http.buffer.v3.Buffer", max_request_bytes=1)},
        {"name": "b", "typed_config": typed("filters.http.buffer.v3.Buffer")},
        {"name": "envoy.filters.http.router", "typed_config": typed("filters.http.router.v3.Router")},
        {"name": "l", "typed_config": typed("filters.http.lua.v3.Lua", inline_code="function f() end")},
    ],
    "ROUTE_CONFIGURATION": [
        {"name": "n", "request_headers_to_remove": ["x-a"]},
        {"virtual_hosts": [{"name": "v", "domains": ["v.example"]}]},
        {"virtual_hosts": [{"name": "v", "domains": ["*"]}]},
    ],
    "VIRTUAL_HOST": [
        {"name": "v", "domains": ["v.example"]},
        {"domains": ["w.example"]},
        {"routes": [{"match": {"path": "/"}}]},
    ],
    "HTTP_ROUTE": [
        {"name": "r", "match": {"path": "/r"}, "direct_response": {"status": 200}},
        {"match": {"prefix": "/"}},
        {"route": {"timeout": "1s"}},
        {"redirect": {"path_redirect": "/x"}},
    ],
    "CLUSTER": [
        {"connect_timeout": "1s"},
        {"name": "extra", "type": "STATIC"},
        {"lb_policy": "RING_HASH"},
        {"max_requests_per_connection": 3, "type": "STRICT_DNS"},
    ],
}
operations = st.sampled_from(
    ["MERGE", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE", "MERGE_AND_REPLACE_LIST"]
)
filters = st.sampled_from(
    [
        {},
        {"filterChain": {"filter": {"name": MANAGER}}},
        {"filterChain": {"filter": {"name": MANAGER, "subFilter": {"name": "envoy.filters.http.router"}}}},
        {"filterChain": {"filter": {"name": MANAGER, "subFilter": {"name": "envoy.filters.http.fault"}}}},
        {"filterChain": {"filter": {"name": "envoy.filters.network.tcp_proxy"}}},
        {"portNumber": 5432},
        {"listenerFilter": "envoy.filters.listener.tls_inspector"},
    ]
)
routes = st.sampled_from([{}, {"portNumber": 9080}, {"vhost": {"route": {"name": "default"}}}, {"name": "80"}])
matches = {
    "CLUSTER": st.sampled_from([{}, {"cluster": {"portNumber": 9080}}, {"cluster": {"name": "PassthroughCluster"}}]),
    **dict.fromkeys(
        ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"), routes.map(lambda r: {"routeConfiguration": r})
    ),
}


@st.composite
def patches(draw):
    target = draw(st.sampled_from(sorted(values)))
    context = draw(st.sampled_from(["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND"]))
    match = draw(matches.get(target, filters.map(lambda item: {"listener": item})))
    operation = draw(operations)
    value = {} if operation == "REMOVE" else {"value": draw(st.sampled_from(values[target]))}
    return {"applyTo": target, "match": {"context": context, **match}, "patch": {"operation": operation, **value}}


@settings(max_examples=60)
@given(st.lists(patches(), min_size=1, max_size=4))
def test_whatever_patches_say_envoy_takes_the_result(drawn):
    validate(as_bootstrap(compiled([*WORLD, envoy_filter(drawn)]), CLIENT))


@settings(max_examples=40)
@given(st.lists(st.tuples(patches(), st.integers(-1, 1)), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_patches_do_not_depend_on_the_order_of_arrival(drawn, shuffler: random.Random):
    documents = WORLD + [envoy_filter([item], f"f{index}", rank) for index, (item, rank) in enumerate(drawn)]
    first = compiled(documents)
    shuffler.shuffle(documents)
    second = compiled(documents)
    assert (first.resources, first.diagnostics) == (second.resources, second.diagnostics)


def test_a_class_without_patches_pays_nothing_and_has_the_very_same_resources():
    cache, before = CompileCache(), MeshSnapshot.of([parse_object(item) for item in WORLD])
    one = classify(parse_node(CLIENT), before.selection)
    first = compile_resources(before, one, cache)
    built = cache.misses
    elsewhere = envoy_filter([{"applyTo": "CLUSTER", "patch": {"operation": "MERGE", "value": {"name": "x"}}}])
    elsewhere["metadata"]["namespace"] = "other"
    record = SimpleNamespace(revision=1, deleted=False, object=elsewhere)
    key = ("networking.istio.io", "envoyfilters", "other", "f")
    second = compile_resources(before.apply([SimpleNamespace(key=key, record=record)]), one, cache)
    assert cache.misses == built
    for type_url, named in first.resources.items():
        assert all(second.resources[type_url][name] is resource for name, resource in named.items())


def test_a_second_compile_with_patches_builds_nothing():
    every = [{"applyTo": "CLUSTER", "patch": {"operation": "MERGE", "value": {"connect_timeout": "1s"}}}]
    snapshot = MeshSnapshot.of([parse_object(item) for item in [*WORLD, envoy_filter(every)]])
    one, cache = classify(parse_node(CLIENT), snapshot.selection), CompileCache()
    compile_resources(snapshot, one, cache)
    built = cache.misses
    compile_resources(snapshot, one, cache)
    assert cache.misses == built


@pytest.mark.parametrize(
    ("kind", "base", "patch", "expected"),
    [
        ("CLUSTER", {"connect_timeout": "10s"}, {"connect_timeout": "0.5s"}, {"connect_timeout": "0.500s"}),
        (
            "CLUSTER",
            {"max_requests_per_connection": 5, "lb_policy": "RANDOM"},
            {"max_requests_per_connection": 0},
            {"max_requests_per_connection": 0, "lb_policy": "RANDOM"},
        ),
        (
            "CLUSTER",
            {"metadata": {"filter_metadata": {"a": {"x": 1}, "b": {"y": 1}}}},
            {"metadata": {"filter_metadata": {"a": {"z": 2}}}},
            {"metadata": {"filter_metadata": {"a": {"z": 2.0}, "b": {"y": 1.0}}}},
        ),
        (
            "ROUTE_CONFIGURATION",
            {"response_headers_to_remove": ["a"]},
            {"response_headers_to_remove": ["b"]},
            {"response_headers_to_remove": ["a", "b"]},
        ),
        (
            "HTTP_FILTER",
            {"name": "r", "typed_config": typed("filters.http.router.v3.Router", start_child_span=True)},
            {"typed_config": typed("filters.http.router.v3.Router", suppress_envoy_headers=True)},
            {
                "name": "r",
                "typed_config": typed(
                    "filters.http.router.v3.Router", start_child_span=True, suppress_envoy_headers=True
                ),
            },
        ),
    ],
)
def test_merging_lays_the_patch_over_what_is_there(kind, base, patch, expected):
    target, change = message_class(FRAGMENTS[kind])(), message_class(FRAGMENTS[kind])()
    json_format.ParseDict(base, target)
    json_format.ParseDict(patch, change)
    merge(target, change)
    assert json_format.MessageToDict(target, preserving_proto_field_name=True) == expected


def test_lists_are_replaced_where_the_operation_says_so():
    cluster = message_class(FRAGMENTS["CLUSTER"])
    target = cluster(circuit_breakers={"thresholds": [{"priority": "HIGH"}]})
    merge(target, cluster(circuit_breakers={"thresholds": [{"max_retries": {"value": 3}}]}), replace_lists=True)
    assert [item.max_retries.value for item in target.circuit_breakers.thresholds] == [3]


def test_configs_of_different_types_are_not_mixed():
    http_filter = message_class(FRAGMENTS["HTTP_FILTER"])
    target, change = http_filter(), http_filter()
    json_format.ParseDict({"typed_config": typed("filters.http.router.v3.Router")}, target)
    json_format.ParseDict({"typed_config": typed("filters.http.buffer.v3.Buffer", max_request_bytes=1)}, change)
    with pytest.raises(MeshError, match=r"Buffer is no .*Router"):
        merge(target, change)


OUTBOUND = {"match": {"context": "SIDECAR_OUTBOUND"}, "applyTo": "CLUSTER"}
SLOW = {**OUTBOUND, "patch": {"operation": "MERGE", "value": {"connect_timeout": "3s"}}}
REVIEWS = "outbound|9080||reviews.shop.svc.cluster.local"


def test_classes_with_the_same_patches_share_the_patched_clusters():
    """Otherwise a mesh of many classes would hold the clusters of all services once for each of them."""
    cache = CompileCache()
    other = CLIENT["metadata"] | {"LABELS": {"app": "db"}}
    clients = [parse_node(CLIENT), parse_node(CLIENT | {"metadata": other})]
    for more in ([], [service("late", "10.0.0.4", 80, "http")]):
        snapshot = MeshSnapshot.of([parse_object(item) for item in (*WORLD, envoy_filter([SLOW]), *more)])
        first, second = (compile_resources(snapshot, classify(one, snapshot.selection), cache) for one in clients)
        cluster = first.of_type(CLUSTER_TYPE)[REVIEWS]
        assert cluster_pb2.Cluster.FromString(cluster.body).connect_timeout.seconds == 3
        assert cluster is second.of_type(CLUSTER_TYPE)[REVIEWS]


def test_a_service_keeps_its_cluster_from_additions_of_its_name():
    addition = {"operation": "ADD", "value": {"name": REVIEWS, "type": "STATIC"}}
    made = compiled([*WORLD, envoy_filter([{"applyTo": "CLUSTER", "patch": addition}])])
    assert cluster_pb2.Cluster.FromString(made.of_type(CLUSTER_TYPE)[REVIEWS].body).type == cluster_pb2.Cluster.EDS
    assert [problem.code for problem in made.diagnostics] == ["patch-not-applied"]


def test_a_removed_cluster_of_a_service_is_gone():
    removal = {**OUTBOUND, "patch": {"operation": "REMOVE"}}
    removal["match"] = removal["match"] | {"cluster": {"service": "reviews.shop.svc.cluster.local"}}
    names = compiled([*WORLD, envoy_filter([removal])]).of_type(CLUSTER_TYPE)
    assert REVIEWS not in names
    assert "outbound|5432||db.shop.svc.cluster.local" in names
