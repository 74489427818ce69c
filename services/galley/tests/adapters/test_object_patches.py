"""The config API: merge, strategic and JSON patches, and who loses when two patch at once."""

import asyncio
from typing import Any

from api_objects import CM, JSON_PATCH, MERGE, STRATEGIC, VS, assert_status, config_map, virtual_service


async def test_merge_patch_counts_generations(api: Any) -> None:
    async with api.client() as client:
        first = (await client.post(VS, json=virtual_service())).json()["metadata"]
        label = (await client.patch(f"{VS}/reviews", json={"metadata": {"labels": {"a": "b"}}}, headers=MERGE)).json()
        assert (label["metadata"]["generation"], label["metadata"]["labels"]) == (1, {"a": "b"})
        assert label["metadata"]["resourceVersion"] != first["resourceVersion"]
        spec = (await client.patch(f"{VS}/reviews", json={"spec": {"hosts": ["a"]}}, headers=MERGE)).json()
        assert spec["metadata"]["generation"] == 2
        same = (await client.patch(f"{VS}/reviews", json={"spec": {"hosts": ["a"]}}, headers=MERGE)).json()
        assert same["metadata"] == spec["metadata"]
        gone = (await client.patch(f"{VS}/reviews", json={"metadata": {"labels": None}}, headers=MERGE)).json()
        assert "labels" not in gone["metadata"]


async def test_version_inside_a_patch_is_a_precondition(api: Any) -> None:
    async with api.client() as client:
        await client.post(VS, json=virtual_service())
        stale = {"metadata": {"resourceVersion": "1", "labels": {"a": "b"}}}
        assert_status(await client.patch(f"{VS}/reviews", json=stale, headers=MERGE), 409, "Conflict")


async def test_patches_that_lose_the_race_are_run_again(api: Any) -> None:
    async with api.client() as client:
        await client.post(CM, json=config_map())
        answers = await asyncio.gather(
            *(client.patch(f"{CM}/notes", json={"data": {f"k{n}": "v"}}, headers=MERGE) for n in range(6))
        )
        assert {answer.status_code for answer in answers} == {200}
        assert set((await client.get(f"{CM}/notes")).json()["data"]) == {f"k{n}" for n in range(6)}


async def test_custom_resources_take_no_strategic_patch(api: Any) -> None:
    async with api.client() as client:
        await client.post(VS, json=virtual_service())
        assert_status(await client.patch(f"{VS}/reviews", json={}, headers=STRATEGIC), 415, "UnsupportedMediaType")


async def test_strategic_patch_merges_the_ports_of_a_service(api: Any) -> None:
    services = "/api/v1/namespaces/default/services"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "reviews"},
        "spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
    }
    patch = {
        "spec": {
            "$setElementOrder/ports": [{"port": 82}, {"port": 80}],
            "ports": [{"name": "c", "port": 82, "protocol": "TCP"}, {"$patch": "delete", "port": 81}],
        }
    }
    async with api.client() as client:
        created = (await client.post(services, json=service)).json()
        assert created["spec"]["ports"][0] == {"name": "a", "port": 80, "protocol": "TCP", "targetPort": 80}
        patched = await client.patch(f"{services}/reviews", json=patch, headers=STRATEGIC)
        assert [port["port"] for port in patched.json()["spec"]["ports"]] == [82, 80], patched.text
        assert "$" not in patched.text


async def test_json_patch_is_all_or_nothing(api: Any) -> None:
    async with api.client() as client:
        await client.post(CM, json=config_map(a="1"))
        wrong = [{"op": "replace", "path": "/data/a", "value": "2"}, {"op": "test", "path": "/data/a", "value": "3"}]
        assert_status(await client.patch(f"{CM}/notes", json=wrong, headers=JSON_PATCH), 422, "Invalid")
        assert (await client.get(f"{CM}/notes")).json()["data"] == {"a": "1"}
        right = [{"op": "add", "path": "/data/b", "value": "2"}]
        assert (await client.patch(f"{CM}/notes", json=right, headers=JSON_PATCH)).json()["data"] == {
            "a": "1",
            "b": "2",
        }
        body = assert_status(await client.patch(f"{CM}/notes", json={}, headers=JSON_PATCH), 400, "BadRequest")
        assert "jsonpatch.Patch" in body["message"]


async def test_patch_cannot_change_identity(api: Any) -> None:
    async with api.client() as client:
        await client.post(VS, json=virtual_service())
        path = f"{VS}/reviews"
        uid = await client.patch(path, json={"metadata": {"uid": "other"}}, headers=MERGE)
        assert "field is immutable" in assert_status(uid, 422, "Invalid")["message"]
        name = await client.patch(path, json={"metadata": {"name": "other"}}, headers=MERGE)
        assert "does not match the name on the URL" in assert_status(name, 400, "BadRequest")["message"]
        born = await client.patch(path, json={"metadata": {"creationTimestamp": None, "generation": 9}}, headers=MERGE)
        assert born.json()["metadata"]["generation"] == 1
        assert_status(await client.patch(f"{VS}/absent", json={}, headers=MERGE), 404, "NotFound")


async def test_a_json_patch_that_would_grow_without_end_is_refused_and_named(api: Any) -> None:
    async with api.client() as client:
        await client.post(CM, json=config_map(a="1"))
        path = f"{CM}/notes"
        before = (await client.get(path)).json()
        doubling = [
            {"op": "add", "path": "/x", "value": ["y" * 1000]},
            *[{"op": "copy", "from": "/x", "path": "/x/-"}] * 40,
        ]
        grown = assert_status(await client.patch(path, json=doubling, headers=JSON_PATCH), 422, "Invalid")
        assert "operation 13 (copy from /x to /x/-)" in grown["message"]
        many = [{"op": "add", "path": "/data/b", "value": "2"}] * 10_001
        refused = await client.patch(path, json=many, headers=JSON_PATCH)
        assert "10000, got 10001" in assert_status(refused, 413, "RequestEntityTooLarge")["message"]
        huge = [{"op": "remove", "path": f"/metadata/managedFields/{'1' * 5000}"}]
        assert_status(await client.patch(path, json=huge, headers=JSON_PATCH), 422, "Invalid")
        assert (await client.get(path)).json() == before


async def test_an_object_and_its_status_take_no_more_than_a_request(api: Any) -> None:
    async with api.client() as client:
        await client.post(VS, json=virtual_service())
        path = f"{VS}/reviews"
        long = {"status": {"a": "x" * 1_600_000}}
        assert (await client.patch(f"{path}/status", json=long, headers=MERGE)).status_code == 200
        copy = [{"op": "copy", "from": "/status/a", "path": "/status/b"}]
        grown = await client.patch(f"{path}/status", json=copy, headers=JSON_PATCH)
        assert "virtualservices 'reviews'" in assert_status(grown, 413, "RequestEntityTooLarge")["message"]
        label = [{"op": "add", "path": "/metadata/annotations", "value": {"a": "x" * 1_600_000}}]
        label += [{"op": "copy", "from": "/metadata/annotations/a", "path": "/metadata/annotations/b"}]
        grown = await client.patch(path, json=label, headers=JSON_PATCH)
        assert "at most 3145728" in assert_status(grown, 413, "RequestEntityTooLarge")["message"]
