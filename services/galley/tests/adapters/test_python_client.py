"""A stock Python client (kubernetes_asyncio) against the config API: list, watch, create, patch, apply, delete."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes_asyncio import client, watch

GROUP, PLURAL = "networking.istio.io", "virtualservices"


def virtual_service(name: str, host: str = "reviews") -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": host}}]}]},
    }


@pytest.fixture
async def connection(api: Any, tmp_path: Any) -> AsyncIterator[client.ApiClient]:
    root = tmp_path / "root.pem"
    root.write_bytes(api.ca.root_pem)
    settings = client.Configuration(host=api.url)
    settings.ssl_ca_cert = str(root)
    settings.api_key = {"BearerToken": "token-of-admin"}
    settings.api_key_prefix = {"BearerToken": "Bearer"}
    async with client.ApiClient(settings) as opened:
        yield opened


async def test_custom_objects(connection: client.ApiClient) -> None:
    objects = client.CustomObjectsApi(connection)
    place = (GROUP, "v1", "default", PLURAL)
    made = await objects.create_namespaced_custom_object(*place, virtual_service("a"))
    assert made["metadata"]["generation"] == 1
    assert (await objects.get_namespaced_custom_object(*place, "a"))["metadata"]["uid"] == made["metadata"]["uid"]
    patched = await objects.patch_namespaced_custom_object(
        *place, "a", {"spec": {"hosts": ["ratings"]}}, _content_type="application/merge-patch+json"
    )
    assert patched["spec"]["hosts"] == ["ratings"]
    listed = await objects.list_namespaced_custom_object(*place, label_selector="app!=x")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
    assert (await objects.list_cluster_custom_object(GROUP, "v1", PLURAL))["items"][0]["spec"]["hosts"] == ["ratings"]
    gone = await objects.delete_namespaced_custom_object(*place, "a")
    assert gone["status"] == "Success"
    with pytest.raises(client.ApiException) as caught:
        await objects.get_namespaced_custom_object(*place, "a")
    assert caught.value.status == 404


async def test_default_patch_is_a_json_patch(connection: client.ApiClient) -> None:
    objects = client.CustomObjectsApi(connection)
    place = (GROUP, "v1", "default", PLURAL)
    await objects.create_namespaced_custom_object(*place, virtual_service("a"))
    operations = [{"op": "replace", "path": "/spec/hosts/0", "value": "ratings"}]
    patched = await objects.patch_namespaced_custom_object(*place, "a", operations)
    assert patched["spec"]["hosts"] == ["ratings"]


async def test_server_side_apply_and_its_conflict(connection: client.ApiClient) -> None:
    objects = client.CustomObjectsApi(connection)
    place = (GROUP, "v1", "default", PLURAL)

    async def apply(host: str, manager: str) -> Any:
        return await objects.patch_namespaced_custom_object(
            *place,
            "a",
            virtual_service("a", host),
            field_manager=manager,
            _content_type="application/apply-patch+yaml",
        )

    assert await apply("reviews", "one") is None  # this client reads no body of a 201 to a patch
    assert (await apply("reviews", "one"))["metadata"]["managedFields"][0]["manager"] == "one"
    with pytest.raises(client.ApiException) as caught:
        await apply("ratings", "two")
    assert caught.value.status == 409


async def test_typed_core_objects(connection: client.ApiClient) -> None:
    core = client.CoreV1Api(connection)
    made = await core.create_namespaced_config_map(
        "default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="notes"), data={"a": "b"})
    )
    assert made.metadata.managed_fields[0].operation == "Update"
    patched = await core.patch_namespaced_config_map(
        "notes", "default", {"data": {"a": "c"}}, _content_type="application/strategic-merge-patch+json"
    )
    assert patched.data == {"a": "c"}
    listed = await core.list_namespaced_config_map("default", field_selector="metadata.name=notes")
    assert [item.metadata.name for item in listed.items] == ["notes"]
    gone = await core.delete_namespaced_config_map("notes", "default")
    assert gone.status == "Success"


async def test_watch_tells_of_changes_after_a_list_and_ends_in_time(connection: client.ApiClient) -> None:
    core = client.CoreV1Api(connection)
    listed = await core.list_namespaced_config_map("default")
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="notes"), data={"a": "b"})
    await core.create_namespaced_config_map("default", body)
    await core.delete_namespaced_config_map("notes", "default")
    seen: list[str] = []
    async with watch.Watch() as watching:
        stream = watching.stream(
            core.list_namespaced_config_map,
            "default",
            resource_version=listed.metadata.resource_version,
            timeout_seconds=30,
        )
        async for event in stream:
            seen.append(event["type"])
            if event["type"] == "DELETED":
                break
    assert seen == ["ADDED", "DELETED"]


async def test_watch_of_custom_objects_begins_with_what_is_there(connection: client.ApiClient) -> None:
    objects = client.CustomObjectsApi(connection)
    await objects.create_namespaced_custom_object(GROUP, "v1", "default", PLURAL, virtual_service("a"))
    async with watch.Watch() as watching:
        stream = watching.stream(
            objects.list_namespaced_custom_object, GROUP, "v1", "default", PLURAL, timeout_seconds=30
        )
        async for event in stream:
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
            break
