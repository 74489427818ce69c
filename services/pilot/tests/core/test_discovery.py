"""discoverySelectors: what is in other namespaces is as if it were not there, and comes back."""

import pytest
from meshcore.model.load import parse_object
from meshcore.model.mesh_config import MeshConfig, parse_mesh_config
from pilot.core.discovery import is_discovered
from pilot.core.snapshot import MeshSnapshot


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("matchLabels: {mesh: 'on'}", True),
        ("matchLabels: {mesh: 'off'}", False),
        ("matchLabels: {kubernetes.io/metadata.name: shop}", True),
        ("matchExpressions: [{key: mesh, operator: In, values: ['on', x]}]", True),
        ("matchExpressions: [{key: mesh, operator: NotIn, values: ['on']}]", False),
        ("matchExpressions: [{key: other, operator: NotIn, values: ['on']}]", True),
        ("matchExpressions: [{key: mesh, operator: Exists}]", True),
        ("matchExpressions: [{key: mesh, operator: DoesNotExist}]", False),
        ("matchExpressions: [{key: mesh, operator: Odd}]", False),
    ],
)
def test_a_selector(selector, expected):
    mesh = parse_mesh_config(f"discoverySelectors: [{{{selector}}}]")
    assert is_discovered(mesh, "shop", {"mesh": "on"}) is expected
    assert is_discovered(mesh, mesh.root_namespace, {})


def test_without_selectors_everything_counts():
    assert is_discovered(MeshConfig(), "shop", {})


def mesh_of(labels, selectors="[{matchLabels: {mesh: 'on'}}]"):
    text = f"discoverySelectors: {selectors}"
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}}
        | {"data": {"mesh": text}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}},
    ]


SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "shop"}}
SERVICE |= {"spec": {"ports": [{"name": "http", "port": 80}]}}


def snapshot_of(*documents) -> MeshSnapshot:
    return MeshSnapshot.of([parse_object(item) for item in documents])


def test_a_namespace_that_does_not_count_has_no_services_until_it_is_labelled():
    hidden = snapshot_of(SERVICE, *mesh_of({}))
    assert not hidden.registry.services
    shown = hidden.supposing([(parse_object(mesh_of({"mesh": "on"})[1]), False)])
    assert [key.host for key in shown.registry.services] == ["a.shop.svc.cluster.local"]
    again = shown.supposing([(parse_object(mesh_of({"mesh": "off"})[1]), False)])
    assert not again.registry.services
    assert snapshot_of(SERVICE, *mesh_of({}, "[]")).registry.services
