"""Lists, pages, selectors, tables, discovery and watches of the config API."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from meshcore.model.kinds import KINDS

CM = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


async def create(client: httpx.AsyncClient, name: str, **labels: str) -> dict[str, Any]:
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels},
        "data": {"a": "b"},
    }
    response = await client.post(CM, json=document)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


def names(listed: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


@asynccontextmanager
async def watching(client: httpx.AsyncClient, path: str, **params: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The frames of a watch, each waited for at most a minute."""
    async with client.stream("GET", path, params={"watch": "true", **params}) as response:
        assert response.status_code == 200
        lines = response.aiter_lines()

        async def frames() -> AsyncIterator[dict[str, Any]]:
            while True:
                async with asyncio.timeout(60):
                    line = await anext(lines, None)
                if line is None:
                    return
                yield json.loads(line)

        yield frames()


def told(frame: dict[str, Any]) -> tuple[str, str]:
    return frame["type"], frame["object"]["metadata"]["name"]


async def test_list_pages_at_one_revision(api: Any) -> None:
    async with api.client() as client:
        for name in ("c", "a", "b"):
            await create(client, name)
        first = (await client.get(CM, params={"limit": "2"})).json()
        assert names(first) == ["a", "b"]
        await create(client, "aa")
        second = (await client.get(CM, params={"limit": "2", "continue": first["metadata"]["continue"]})).json()
        assert names(second) == ["c"]
        assert second["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}


@pytest.mark.parametrize(
    ("params", "code", "reason"),
    [
        ({"limit": "abc"}, 400, "BadRequest"),
        ({"continue": "nonsense"}, 400, "BadRequest"),
        ({"labelSelector": "a b c"}, 400, "BadRequest"),
        ({"fieldSelector": "spec.x=1"}, 400, "BadRequest"),
        ({"fieldSelector": "nonsense"}, 400, "BadRequest"),
        ({"resourceVersion": "abc"}, 400, "BadRequest"),
        ({"resourceVersion": "99999"}, 504, "Timeout"),
    ],
)
async def test_wrong_query_is_a_status(api: Any, params: dict[str, str], code: int, reason: str) -> None:
    async with api.client() as client:
        response = await client.get(CM, params=params)
        assert (response.status_code, response.json()["reason"]) == (code, reason)
        if code == 504:
            assert response.headers["Retry-After"] == "1"
            assert response.json()["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_exact_version_reads_the_past(api: Any) -> None:
    async with api.client() as client:
        await create(client, "a")
        version = (await client.get(CM)).json()["metadata"]["resourceVersion"]
        await create(client, "b")
        past = await client.get(CM, params={"resourceVersion": version, "resourceVersionMatch": "Exact"})
        assert names(past.json()) == ["a"]
        assert names((await client.get(CM, params={"resourceVersion": "0"})).json()) == ["a", "b"]


async def test_selectors(api: Any) -> None:
    async with api.client() as client:
        await create(client, "a", app="x", tier="1")
        await create(client, "b", app="z")
        await create(client, "c", app="y")
        for selector, expected in (
            ("app in (x,z)", ["a", "b"]),
            ("app in (x,z),!tier", ["b"]),
            ("app!=x", ["b", "c"]),
            ("tier", ["a"]),
        ):
            assert names((await client.get(CM, params={"labelSelector": selector})).json()) == expected
        by_name = await client.get(CM, params={"fieldSelector": "metadata.name=b"})
        assert names(by_name.json()) == ["b"]
        others = await client.get("/api/v1/configmaps", params={"fieldSelector": "metadata.namespace!=default"})
        assert names(others.json()) == []


async def test_absent_namespace_lists_empty_and_takes_no_object(api: Any) -> None:
    path = CM.replace("default", "absent")
    async with api.client() as client:
        assert names((await client.get(path)).json()) == []
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
        refused = await client.post(path, json=body)
        assert refused.status_code == 404
        assert refused.json()["message"] == 'namespaces "absent" not found'
        assert refused.json()["details"] == {"name": "absent", "kind": "namespaces"}


async def test_namespace_brings_a_service_account_and_takes_its_content_along(api: Any) -> None:
    async with api.client() as client:
        made = await client.post(
            "/api/v1/namespaces", json={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        )
        assert made.json()["status"] == {"phase": "Active"}
        assert made.json()["spec"] == {"finalizers": ["kubernetes"]}
        assert (await client.get("/api/v1/namespaces/shop/serviceaccounts/default")).status_code == 200
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
        await client.post(CM.replace("default", "shop"), json=body)
        before = await api.store.revision()
        gone = (await client.delete("/api/v1/namespaces/shop")).json()
        assert gone["status"] == {"phase": "Terminating"}
        assert await api.store.revision() == before + 1
        assert (await client.get("/api/v1/namespaces/shop")).status_code == 404
        assert names((await client.get(CM.replace("default", "shop"))).json()) == []


@pytest.mark.parametrize("name", ["default", "istio-system", "kube-system"])
async def test_namespaces_of_the_mesh_stay(api: Any, name: str) -> None:
    async with api.client() as client:
        assert (await client.delete(f"/api/v1/namespaces/{name}")).status_code == 403
        assert (await client.get(f"/api/v1/namespaces/{name}")).status_code == 200


async def test_table_has_rows_with_their_metadata(api: Any) -> None:
    async with api.client() as client:
        await create(client, "a")
        table = (await client.get(CM, headers=TABLE)).json()
        assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
        (row,) = table["rows"]
        assert row["cells"][:2] == ["a", 1]
        assert row["object"]["kind"] == "PartialObjectMetadata"
        whole = (await client.get(f"{CM}/a", headers=TABLE, params={"includeObject": "Object"})).json()
        assert whole["rows"][0]["object"]["data"] == {"a": "b"}
        bare = (await client.get(CM, headers=TABLE, params={"includeObject": "None"})).json()
        assert bare["rows"][0]["object"] is None


async def test_partial_metadata_and_what_cannot_be_had(api: Any) -> None:
    async with api.client() as client:
        await create(client, "a")
        accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        listed = (await client.get(CM, headers=accept)).json()
        assert (listed["kind"], "data" in listed["items"][0]) == ("PartialObjectMetadataList", False)
        refused = await client.get(CM, headers={"Accept": "application/vnd.kubernetes.protobuf"})
        assert (refused.status_code, refused.json()["reason"]) == (406, "NotAcceptable")


async def test_events_are_an_empty_list(api: Any) -> None:
    async with api.client() as client:
        listed = (await client.get("/api/v1/namespaces/default/events")).json()
        assert (listed["kind"], listed["items"]) == ("EventList", [])


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api/v2",
        "/apis/none",
        "/apis/networking.istio.io/v9/sidecars",
        "/api/v1/replicationcontrollers",
        "/api/v1/configmaps/x",
        "/api/v1/namespaces/a/namespaces/b",
    ],
)
async def test_unknown_path_is_not_found(api: Any, path: str) -> None:
    async with api.client() as client:
        assert (await client.get(path)).status_code == 404


async def test_method_that_a_path_does_not_take(api: Any) -> None:
    async with api.client() as client:
        for method, path in (
            ("PUT", CM),
            ("POST", f"{CM}/a"),
            ("POST", "/api"),
            ("OPTIONS", CM),
            ("PATCH", CM),
            ("POST", "/api/v1/configmaps"),
        ):
            response = await client.request(method, path)
            assert (response.status_code, response.json()["reason"]) == (405, "MethodNotAllowed"), (method, path)


async def test_watch_from_a_version_tells_every_later_change(api: Any) -> None:
    async with api.client() as client:
        await create(client, "old")
        version = (await client.get(CM)).json()["metadata"]["resourceVersion"]
        async with watching(client, CM, resourceVersion=version) as frames:
            made = await create(client, "a")
            first = await anext(frames)
            assert told(first) == ("ADDED", "a")
            assert first["object"] == made
            await client.patch(f"{CM}/a", json={"data": {"a": "c"}}, headers=MERGE)
            assert told(await anext(frames)) == ("MODIFIED", "a")
            await client.delete(f"{CM}/a")
            last = await anext(frames)
            assert told(last) == ("DELETED", "a")
            assert int(last["object"]["metadata"]["resourceVersion"]) == await api.store.revision()


@pytest.mark.parametrize("version", [None, "0"])
async def test_watch_without_a_version_begins_with_what_is_there(api: Any, version: str | None) -> None:
    async with api.client() as client:
        await create(client, "a")
        await create(client, "b")
        params = {} if version is None else {"resourceVersion": version}
        async with watching(client, CM, **params) as frames:
            assert [told(await anext(frames)) for _ in range(2)] == [("ADDED", "a"), ("ADDED", "b")]


async def test_watch_by_label_tells_who_enters_and_leaves(api: Any) -> None:
    async with api.client() as client:
        await create(client, "a", app="x")
        await create(client, "b", app="y")
        async with watching(
            client, CM, labelSelector="app=x", resourceVersion=str(await api.store.revision())
        ) as frames:
            await client.patch(f"{CM}/a", json={"metadata": {"labels": {"app": "y"}}}, headers=MERGE)
            left = await anext(frames)
            assert told(left) == ("DELETED", "a")
            assert left["object"]["metadata"]["labels"] == {"app": "x"}
            assert int(left["object"]["metadata"]["resourceVersion"]) == await api.store.revision()
            await client.patch(f"{CM}/b", json={"metadata": {"labels": {"app": "x"}}}, headers=MERGE)
            assert told(await anext(frames)) == ("ADDED", "b")


async def test_watch_by_name_and_other_kinds_are_silent(api: Any) -> None:
    async with (
        api.client() as client,
        watching(
            client, CM, fieldSelector="metadata.name=b", resourceVersion=str(await api.store.revision())
        ) as frames,
    ):
        await create(client, "a")
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "b"}}
        await client.post(CM.replace("configmaps", "serviceaccounts"), json=account)
        await create(client, "b")
        assert told(await anext(frames)) == ("ADDED", "b")


async def test_watch_of_a_version_that_is_not_known_expires(api: Any) -> None:
    async with api.client() as client, watching(client, CM, resourceVersion="99999") as frames:
        frame = await anext(frames)
        assert (frame["type"], frame["object"]["code"], frame["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await anext(frames, None) is None


async def test_watch_ends_in_time_with_a_bookmark_when_asked(api: Any) -> None:
    async with api.client() as client:
        await create(client, "a")
        version = str(await api.store.revision())
        async with watching(
            client, CM, resourceVersion=version, timeoutSeconds="1", allowWatchBookmarks="True"
        ) as frames:
            found = [frame async for frame in frames]
        assert {frame["type"] for frame in found} <= {"BOOKMARK"}
        async with watching(client, CM, resourceVersion=version, timeoutSeconds="1") as frames:
            assert [frame async for frame in frames] == []


async def test_watch_as_a_table(api: Any) -> None:
    async with api.client() as client:
        await create(client, "a")
        async with client.stream("GET", CM, params={"watch": "1"}, headers=TABLE) as response:
            frame = json.loads(await anext(response.aiter_lines()))
        assert frame["object"]["kind"] == "Table"
        assert frame["object"]["rows"][0]["object"]["metadata"]["name"] == "a"


async def test_watches_end_when_the_service_stops(api: Any) -> None:
    version = str(await api.store.revision())
    async with api.client() as client, watching(client, CM, resourceVersion=version) as frames:
        await api.application.stop()
        assert await anext(frames, None) is None


async def test_discovery_in_both_forms_names_every_kind(api: Any) -> None:
    async with api.client() as client:
        groups = (await client.get("/apis")).json()["groups"]
        assert {group["name"] for group in groups} == {info.group for info in KINDS if info.group}
        legacy = (await client.get("/apis/networking.istio.io/v1")).json()["resources"]
        (short,) = [resource for resource in legacy if resource["name"] == "virtualservices"]
        assert short["shortNames"] == ["vs"]
        accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
        aggregated = await client.get("/apis", headers={"Accept": accept})
        assert (
            aggregated.headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        )
        tag = {"If-None-Match": aggregated.headers["ETag"], "Accept": accept}
        assert (await client.get("/apis", headers=tag)).status_code == 304
        resources = aggregated.json()["items"][0]["versions"][0]["resources"]
        assert {resource["resource"] for resource in resources} == {
            resource["name"] for resource in legacy if "/" not in resource["name"]
        }


async def test_openapi_can_be_cached_by_its_hash(api: Any) -> None:
    async with api.client() as client:
        paths = (await client.get("/openapi/v3")).json()["paths"]
        for path in paths.values():
            document = await client.get(path["serverRelativeURL"])
            assert document.json()["openapi"] == "3.0.0"
            assert "immutable" in document.headers["Cache-Control"]
        assert "no-cache" in (await client.get("/openapi/v3/api/v1")).headers["Cache-Control"]
        accept = {"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
        second = await client.get("/openapi/v2", headers=accept)
        assert second.headers["Content-Type"] == "application/octet-stream"
        assert (await client.get("/openapi/v2", headers={"Accept": "text/plain"})).status_code == 406
