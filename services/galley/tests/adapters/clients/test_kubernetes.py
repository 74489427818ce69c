"""The official synchronous client, `kubernetes`: custom objects, typed core objects, and its dynamic client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch

GROUP, PLURAL = "networking.istio.io", "virtualservices"


@pytest.fixture
def connection(kubeconfig: Path, namespace: str) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(kubeconfig)) as opened:
        client.CoreV1Api(opened).create_namespace({"metadata": {"name": namespace}})
        yield opened


def test_custom_objects(connection: client.ApiClient, namespace: str, virtual_service: Any) -> None:
    objects = client.CustomObjectsApi(connection)
    place = (GROUP, "v1", namespace, PLURAL)
    made = objects.create_namespaced_custom_object(*place, virtual_service("a"))
    assert made["metadata"]["generation"] == 1
    merged = objects.patch_namespaced_custom_object(
        *place, "a", {"spec": {"hosts": ["ratings"]}}, _content_type="application/merge-patch+json"
    )
    assert (merged["spec"]["hosts"], merged["metadata"]["uid"]) == (["ratings"], made["metadata"]["uid"])
    merged["spec"]["hosts"] = ["details"]
    assert objects.replace_namespaced_custom_object(*place, "a", merged)["metadata"]["generation"] == 3
    with pytest.raises(client.ApiException) as caught:
        objects.replace_namespaced_custom_object(*place, "a", merged)
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    objects.delete_namespaced_custom_object(*place, "a")
    with pytest.raises(client.ApiException) as caught:
        objects.get_namespaced_custom_object(*place, "a")
    assert caught.value.status == 404


def test_list_in_pages(connection: client.ApiClient, namespace: str, virtual_service: Any) -> None:
    objects = client.CustomObjectsApi(connection)
    place = (GROUP, "v1", namespace, PLURAL)
    for name in "abc":
        objects.create_namespaced_custom_object(*place, virtual_service(name))
    first = objects.list_namespaced_custom_object(*place, limit=2)
    rest = objects.list_namespaced_custom_object(*place, limit=2, _continue=first["metadata"]["continue"])
    assert [[item["metadata"]["name"] for item in page["items"]] for page in (first, rest)] == [["a", "b"], ["c"]]
    assert rest["metadata"].get("continue") is None


def test_watch_is_resumed_where_it_ended(connection: client.ApiClient, namespace: str, virtual_service: Any) -> None:
    objects = client.CustomObjectsApi(connection)
    place = (GROUP, "v1", namespace, PLURAL)
    objects.create_namespaced_custom_object(*place, virtual_service("a"))
    watching = watch.Watch()
    for event in watching.stream(objects.list_namespaced_custom_object, *place, timeout_seconds=60):
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
        break
    objects.create_namespaced_custom_object(*place, virtual_service("b"))
    objects.delete_namespaced_custom_object(*place, "a")
    seen = []
    for event in watching.stream(
        objects.list_namespaced_custom_object,
        *place,
        resource_version=watching.resource_version,
        timeout_seconds=60,
    ):
        seen.append((event["type"], event["object"]["metadata"]["name"]))
        if len(seen) == 2:
            break
    assert seen == [("ADDED", "b"), ("DELETED", "a")]


def test_typed_core_objects(connection: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(connection)
    ports = [client.V1ServicePort(name="http", port=80, target_port=8080)]
    body = client.V1Service(
        metadata=client.V1ObjectMeta(name="reviews"), spec=client.V1ServiceSpec(ports=ports, selector={"app": "r"})
    )
    made = core.create_namespaced_service(namespace, body)
    assert (made.spec.type, made.spec.ports[0].protocol) == ("ClusterIP", "TCP")
    patched = core.patch_namespaced_service("reviews", namespace, {"spec": {"ports": [{"port": 81, "name": "x"}]}})
    assert [port.port for port in patched.spec.ports] == [81, 80]
    listed = core.list_namespaced_service(namespace, field_selector="metadata.name=reviews")
    assert [item.metadata.name for item in listed.items] == ["reviews"]
    core.delete_namespaced_service("reviews", namespace)
    assert core.list_namespaced_service(namespace).items == []


def test_groups_and_versions_are_discovered(connection: client.ApiClient) -> None:
    groups = {group.name: group for group in client.ApisApi(connection).get_api_versions().groups}
    assert groups[GROUP].preferred_version.group_version == f"{GROUP}/v1"
    resources = client.CustomObjectsApi(connection).get_api_resources(GROUP, "v1").resources
    assert "vs" in next(item for item in resources if item.name == PLURAL).short_names
    assert client.VersionApi(connection).get_code().git_version.startswith("v1.")


def test_dynamic_client(connection: client.ApiClient, namespace: str, virtual_service: Any, tmp_path: Path) -> None:
    found = dynamic.DynamicClient(connection, cache_file=str(tmp_path / "discovery.json"))
    services = found.resources.get(api_version=f"{GROUP}/v1", kind="VirtualService")
    assert (services.name, services.namespaced, services.short_names) == (PLURAL, True, ["vs"])
    assert found.resources.get(short_names=["vs"], api_version=f"{GROUP}/v1").kind == "VirtualService"
    applied = services.server_side_apply(
        virtual_service("a", namespace=namespace), namespace=namespace, field_manager="one"
    )
    assert applied.metadata.managedFields[0].operation == "Apply"
    with pytest.raises(dynamic.exceptions.ConflictError, match=r"conflicts? with"):
        services.server_side_apply(
            virtual_service("a", "ratings", namespace=namespace), namespace=namespace, field_manager="two"
        )
    patched = services.patch(
        {"metadata": {"name": "a", "labels": {"x": "y"}}},
        namespace=namespace,
        content_type="application/merge-patch+json",
    )
    assert patched.metadata.labels.to_dict() == {"x": "y"}
    (listed,) = services.get(namespace=namespace, label_selector="x=y").items
    assert listed.spec.hosts == ["reviews"]
    for event in services.watch(namespace=namespace, timeout=60):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "a")
        break
    assert services.delete(name="a", namespace=namespace).status == "Success"
    with pytest.raises(dynamic.exceptions.NotFoundError):
        services.get(name="a", namespace=namespace)
