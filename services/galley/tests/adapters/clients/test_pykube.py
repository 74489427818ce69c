"""pykube-ng: kinds made from discovery, queries, patches, watches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pykube
import pytest


@pytest.fixture
def connection(kubeconfig: Path, namespace: str) -> pykube.HTTPClient:
    opened = pykube.HTTPClient(pykube.KubeConfig.from_file(str(kubeconfig)))
    pykube.Namespace(opened, {"metadata": {"name": namespace}}).create()
    return opened


@pytest.fixture
def kind(connection: pykube.HTTPClient) -> Any:
    """The class that pykube makes of what discovery says."""
    return pykube.object_factory(connection, "networking.istio.io/v1", "VirtualService")


def test_create_update_patch_and_delete(
    connection: pykube.HTTPClient, kind: Any, namespace: str, virtual_service: Any
) -> None:
    assert kind.endpoint == "virtualservices"
    item = kind(connection, virtual_service("a", namespace=namespace))
    item.create()
    assert item.metadata["generation"] == 1
    item.obj["spec"]["hosts"] = ["ratings"]
    item.update()
    assert item.metadata["generation"] == 2
    item.patch({"metadata": {"labels": {"x": "y"}}})
    assert item.labels == {"x": "y"}
    stored = kind.objects(connection).filter(namespace=namespace).get_by_name("a")
    assert stored.obj["spec"]["hosts"] == ["ratings"]
    stored.delete()
    assert not item.exists()
    with pytest.raises(pykube.exceptions.ObjectDoesNotExist):
        kind.objects(connection).filter(namespace=namespace).get_by_name("a")


def test_queries(connection: pykube.HTTPClient, kind: Any, namespace: str, virtual_service: Any) -> None:
    for name, label in (("a", "1"), ("b", "2"), ("c", "2")):
        kind(connection, virtual_service(name, namespace=namespace, labels={"x": label})).create()

    def names(**options: Any) -> list[str]:
        return [item.name for item in kind.objects(connection).filter(namespace=namespace, **options)]

    assert names() == ["a", "b", "c"]
    assert names(selector="x=2") == ["b", "c"]
    assert names(selector={"x__in": {"1", "3"}}) == ["a"]
    assert names(field_selector={"metadata.name": "b"}) == ["b"]
    everywhere = kind.objects(connection).filter(namespace=pykube.all, selector="x=1")
    assert [(item.namespace, item.name) for item in everywhere if item.namespace == namespace] == [(namespace, "a")]


def test_watch_from_a_list_and_again_from_its_last_version(
    connection: pykube.HTTPClient, kind: Any, namespace: str, virtual_service: Any
) -> None:
    query = kind.objects(connection).filter(namespace=namespace)
    version = query.response["metadata"]["resourceVersion"]
    item = kind(connection, virtual_service("a", namespace=namespace))
    item.create()
    watching = query.watch(since=version)
    for event in watching:
        assert (event.type, event.object.name) == ("ADDED", "a")
        version = event.object.metadata["resourceVersion"]
        break
    watching.response.close()
    item.delete()
    again = query.watch(since=version)
    for event in again:
        assert (event.type, event.object.name) == ("DELETED", "a")
        break
    again.response.close()


def test_errors_carry_the_message(
    connection: pykube.HTTPClient, kind: Any, namespace: str, virtual_service: Any
) -> None:
    wrong = virtual_service("a", "b_a", namespace=namespace)
    with pytest.raises(pykube.exceptions.HTTPError, match=r"spec\.hosts"):
        kind(connection, wrong).create()


def test_typed_config_maps(connection: pykube.HTTPClient, namespace: str) -> None:
    notes = pykube.ConfigMap(connection, {"metadata": {"name": "notes", "namespace": namespace}, "data": {"a": "b"}})
    notes.create()
    notes.patch({"data": {"a": "c"}})
    (found,) = pykube.ConfigMap.objects(connection).filter(namespace=namespace)
    assert found.obj["data"] == {"a": "c"}
