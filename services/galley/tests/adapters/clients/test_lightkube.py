"""lightkube: generic resources, typed ones, apply, patches, a watch that goes on by itself, waiting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Service
from lightkube.types import PatchType

VirtualService = create_namespaced_resource("networking.istio.io", "v1", "VirtualService", "virtualservices")


@pytest.fixture
def connection(kubeconfig: Path, namespace: str) -> Iterator[Client]:
    opened = Client(KubeConfig.from_file(kubeconfig), namespace=namespace, field_manager="light", trust_env=False)
    opened.create(Namespace(metadata=ObjectMeta(name=namespace)))
    yield opened
    opened.close()


@pytest.fixture
def named(virtual_service: Any, namespace: str) -> Any:
    def make(name: str, host: str = "reviews", **metadata: Any) -> Any:
        return VirtualService(virtual_service(name, host, namespace=namespace, **metadata))

    return make


def test_create_get_replace_and_delete(connection: Client, named: Any) -> None:
    made = connection.create(named("a"))
    assert made.metadata.generation == 1
    made["spec"]["hosts"] = ["ratings"]
    assert connection.replace(made).metadata.generation == 2
    with pytest.raises(ApiError) as caught:
        connection.replace(made)
    assert (caught.value.status.code, caught.value.status.reason) == (409, "Conflict")
    assert connection.get(VirtualService, "a")["spec"]["hosts"] == ["ratings"]
    connection.delete(VirtualService, "a")
    with pytest.raises(ApiError) as caught:
        connection.get(VirtualService, "a")
    assert caught.value.status.reason == "NotFound"


def test_patches_and_apply(connection: Client, named: Any) -> None:
    connection.apply(named("a"))
    assert (
        connection.apply(named("a")).metadata.resourceVersion == connection.apply(named("a")).metadata.resourceVersion
    )
    with pytest.raises(ApiError, match=r"conflicts? with"):
        connection.apply(named("a", "ratings"), field_manager="other")
    assert connection.apply(named("a", "ratings"), field_manager="other", force=True)["spec"]["hosts"] == ["ratings"]
    merged = connection.patch(VirtualService, "a", {"metadata": {"labels": {"x": "y"}}}, patch_type=PatchType.MERGE)
    assert merged.metadata.labels == {"x": "y"}
    operations = [{"op": "replace", "path": "/spec/hosts/0", "value": "details"}]
    assert connection.patch(VirtualService, "a", operations, patch_type=PatchType.JSON)["spec"]["hosts"] == ["details"]
    before = connection.get(VirtualService, "a").metadata.resourceVersion
    connection.patch(VirtualService, "a", {"spec": {"hosts": ["x"]}}, patch_type=PatchType.MERGE, dry_run=True)
    assert connection.get(VirtualService, "a").metadata.resourceVersion == before


def test_lists_by_labels_and_fields_and_namespaces(connection: Client, named: Any, namespace: str) -> None:
    for name, label in (("a", "1"), ("b", "2"), ("c", "2")):
        connection.create(named(name, labels={"x": label}))

    def names(**options: Any) -> list[str]:
        return [item.metadata.name for item in connection.list(VirtualService, **options)]

    assert names(chunk_size=1) == ["a", "b", "c"]
    assert names(labels={"x": "2"}) == ["b", "c"]
    assert names(fields={"metadata.name": "b"}) == ["b"]
    assert names(fields={"metadata.namespace": namespace}, namespace="*") == ["a", "b", "c"]
    connection.deletecollection(VirtualService)
    assert names() == []


def test_watch_goes_on_by_itself_after_its_server_ended_it(connection: Client, named: Any) -> None:
    listed = connection.list(VirtualService)
    assert list(listed) == []
    connection.create(named("a"))
    seen = []
    # each request ends after a second; the client takes up the watch where it was
    for operation, item in connection.watch(VirtualService, resource_version=listed.resourceVersion, server_timeout=1):
        seen.append((operation, item.metadata.name))
        if len(seen) == 1:
            connection.patch(VirtualService, "a", {"metadata": {"labels": {"x": "y"}}}, patch_type=PatchType.MERGE)
        elif len(seen) == 2:
            connection.delete(VirtualService, "a")
        else:
            break
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_typed_services(connection: Client) -> None:
    spec = ServiceSpec(ports=[ServicePort(port=80, name="http")], selector={"app": "r"})
    made = connection.create(Service(metadata=ObjectMeta(name="reviews"), spec=spec))
    assert made.spec is not None
    assert (made.spec.type, made.spec.ports[0].protocol) == ("ClusterIP", "TCP")
    patched = connection.patch(Service, "reviews", {"spec": {"ports": [{"port": 81, "name": "x"}]}})
    assert [port.port for port in patched.spec.ports] == [81, 80]
    for operation, item in connection.watch(Service, fields={"metadata.name": "reviews"}):
        assert (operation, item.metadata.name) == ("ADDED", "reviews")
        break
