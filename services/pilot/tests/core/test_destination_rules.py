"""Which rule counts, and how its levels come together."""

from collections.abc import Mapping

import pytest
from pilot.core.snapshot import MeshSnapshot
from pilot.core.visibility.destination_rules import NO_RULE, Rules, foreign_space, merge_rules, own_space, rules_for

HOST = "reviews.shop.svc.cluster.local"


def seen_from(snapshot: MeshSnapshot, namespace: str, labels: Mapping[str, str]) -> Rules:
    rules, mesh = snapshot.destination_rules, snapshot.mesh_config
    return rules_for(
        HOST,
        "shop",
        namespace,
        mesh.root_namespace,
        lambda: own_space(rules(namespace), labels),
        lambda owner: foreign_space(rules(owner), mesh, namespace),
    )


def rule(name: str, namespace: str, host: str, more: str = "") -> str:
    return (
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  host: '{host}'\n{more}"
    )


@pytest.fixture
def chosen(objects):
    def names(text: str, namespace: str, labels: dict[str, str] | None = None) -> list[str]:
        snapshot = MeshSnapshot.of(objects(text))
        return [item.name for item in seen_from(snapshot, namespace, labels or {})]

    return names


def test_the_clients_namespace_wins_over_the_services_and_that_over_the_root(chosen):
    client, service, root = rule("c", "client", HOST), rule("s", "shop", "reviews"), rule("r", "istio-system", HOST)
    assert chosen(client + service + root, "client") == ["c"]
    assert chosen(service + root, "client") == ["s"]
    assert chosen(root, "client") == ["r"]
    assert chosen("", "client") == []


def test_in_one_namespace_the_most_specific_host_wins(chosen):
    text = (
        rule("all", "client", "*")
        + rule("wide", "client", "*.local")
        + rule("near", "client", "*.shop.svc.cluster.local")
    )
    assert chosen(text, "client") == ["near"]
    assert chosen(text + rule("exact", "client", HOST), "client") == ["exact"]


def test_a_rule_that_is_not_exported_is_not_seen(chosen):
    private = rule("s", "shop", "reviews", "  exportTo: ['.']\n")
    assert chosen(private, "client") == []
    assert chosen(private, "shop") == ["s"]


def test_a_rule_with_a_selector_counts_for_its_workloads_only_and_comes_first(chosen):
    text = rule("general", "client", HOST) + rule(
        "special", "client", HOST, "  workloadSelector: {matchLabels: {app: a}}\n"
    )
    assert chosen(text, "client", {"app": "b"}) == ["general"]
    assert chosen(text, "client", {"app": "a"}) == ["special", "general"]


def test_levels_port_replaces_and_subset_overrides_block_by_block(objects):
    more = """
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 1}}
    loadBalancer: {simple: RANDOM}
    portLevelSettings: [{port: {number: 9}, loadBalancer: {simple: ROUND_ROBIN}}]
  subsets:
  - {name: v1, labels: {v: '1'}, trafficPolicy: {connectionPool: {tcp: {maxConnections: 2}}}}
"""
    snapshot = MeshSnapshot.of(objects(rule("r", "shop", "reviews", more)))
    merged = merge_rules(seen_from(snapshot, "shop", {}))
    assert merged.policy_of(9).connection_pool is None
    assert merged.policy_of(9).load_balancer.simple == "ROUND_ROBIN"
    assert merged.policy_of(80, "v1").connection_pool.tcp.max_connections == 2
    assert merged.policy_of(80, "v1").load_balancer.simple == "RANDOM"
    assert merged.policy_of(80).connection_pool.tcp.max_connections == 1
    assert merge_rules(()) is NO_RULE
