"""The config API: what is deleted, what waits for its finalizers, and what was not meant."""

from typing import Any

from api_objects import MERGE, VS, assert_status, virtual_service


async def test_delete_answers_a_status_with_the_uid(api: Any) -> None:
    async with api.client() as client:
        uid = (await client.post(VS, json=virtual_service())).json()["metadata"]["uid"]
        wrong = await client.request("DELETE", f"{VS}/reviews", json={"preconditions": {"uid": "other"}})
        assert_status(wrong, 409, "Conflict")
        body = (await client.request("DELETE", f"{VS}/reviews", json={"propagationPolicy": "Background"})).json()
        assert (body["status"], body["details"]["uid"]) == ("Success", uid)
        assert_status(await client.delete(f"{VS}/reviews"), 404, "NotFound")


async def test_object_with_finalizers_waits_for_them(api: Any) -> None:
    document = virtual_service()
    document["metadata"]["finalizers"] = ["example.com/hold"]
    async with api.client() as client:
        await client.post(VS, json=document)
        marked = (await client.delete(f"{VS}/reviews")).json()
        assert marked["kind"] == "VirtualService"
        assert marked["metadata"]["deletionTimestamp"]
        assert (await client.get(f"{VS}/reviews")).status_code == 200
        last = await client.patch(f"{VS}/reviews", json={"metadata": {"finalizers": None}}, headers=MERGE)
        assert last.status_code == 200
        assert_status(await client.get(f"{VS}/reviews"), 404, "NotFound")


async def test_collection_is_deleted_by_label(api: Any) -> None:
    async with api.client() as client:
        for name in ("a", "b", "c"):
            document = virtual_service(name)
            document["metadata"]["labels"] = {"keep": "yes" if name == "c" else "no"}
            await client.post(VS, json=document)
        before = await api.store.revision()
        gone = (await client.delete(VS, params={"labelSelector": "keep=no"})).json()
        assert [item["metadata"]["name"] for item in gone["items"]] == ["a", "b"]
        assert [item["metadata"]["name"] for item in (await client.get(VS)).json()["items"]] == ["c"]
        assert await api.store.revision() == before + 1


async def test_a_collection_waits_for_finalizers_too(api: Any) -> None:
    kept = virtual_service()
    kept["metadata"]["finalizers"] = ["x.io/y"]
    async with api.client() as client:
        assert (await client.post(VS, json=kept)).status_code == 201
        assert (await client.delete(VS)).status_code == 200
        (left,) = (await client.get(VS)).json()["items"]
        assert left["metadata"]["deletionTimestamp"]
        merge = {"Content-Type": "application/merge-patch+json"}
        path = f"{VS}/{left['metadata']['name']}"
        await client.patch(path, json={"metadata": {"finalizers": None}}, headers=merge)
        assert (await client.get(VS)).json()["items"] == []


async def test_a_namespace_is_only_deleted_when_it_is_the_one_that_was_meant(api: Any) -> None:
    async with api.client() as client:
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        made = (await client.post("/api/v1/namespaces", json=document)).json()
        for wrong in ({"uid": "another"}, {"resourceVersion": "1"}):
            refused = await client.request("DELETE", "/api/v1/namespaces/shop", json={"preconditions": wrong})
            assert_status(refused, 409, "Conflict")
        right = {"uid": made["metadata"]["uid"]}
        deleted = await client.request("DELETE", "/api/v1/namespaces/shop", json={"preconditions": right})
        assert deleted.status_code == 200
