"""Dry runs of the config API: nothing is written, and what analysis says comes back as warnings."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

VS = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
SERVICES = "/api/v1/namespaces/default/services"
DRY = {"dryRun": "All"}


def virtual_service(host: str, name: str = "a", **rule: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {"hosts": ["a"], "http": [{"route": [{"destination": {"host": host}}], **rule}]},
    }


def warnings(response: httpx.Response) -> list[str]:
    return response.headers.get_list("warning")


@pytest.fixture
async def client(api: Any) -> Any:
    async with api.client() as opened:
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "reviews"}}
        service["spec"] = {"ports": [{"name": "http", "port": 80}]}
        assert (await opened.post(SERVICES, json=service)).status_code == 201
        yield opened


async def test_create_warns_with_code_place_and_patch(client: httpx.AsyncClient) -> None:
    made = await client.post(VS, json=virtual_service("reviewz"), params=DRY)
    assert made.status_code == 201
    (warning,) = warnings(made)
    assert warning.startswith('299 - "Error [IST0101] (VirtualService default/a) Referenced host')
    patch = json.loads(warning.replace('\\"', '"')[warning.replace('\\"', '"').index("[{") : -1])
    assert patch == [{"op": "replace", "path": "/spec/http/0/route/0/destination/host", "value": "reviews"}]
    assert (await client.get(f"{VS}/a")).status_code == 404
    assert warnings(await client.post(VS, json=virtual_service("reviewz"))) == []


@pytest.mark.parametrize("content_type", ["merge-patch+json", "json-patch+json", "apply-patch+yaml"])
async def test_every_patch_and_a_replacement_warn(client: httpx.AsyncClient, content_type: str) -> None:
    made = await client.post(VS, json=virtual_service("reviews"))
    version = made.json()["metadata"]["resourceVersion"]
    body: Any = {
        "merge-patch+json": {"spec": virtual_service("gone")["spec"]},
        "json-patch+json": [{"op": "replace", "path": "/spec", "value": virtual_service("gone")["spec"]}],
        "apply-patch+yaml": virtual_service("gone"),
    }[content_type]
    query = DRY | ({"fieldManager": "m", "force": "true"} if content_type.startswith("apply") else {})
    headers = {"content-type": f"application/{content_type}"}
    patched = await client.patch(f"{VS}/a", content=json.dumps(body), params=query, headers=headers)
    assert (patched.status_code, patched.json()["metadata"]["resourceVersion"]) == (200, version)
    assert ["[IST0101]" in text for text in warnings(patched)] == [True]
    replaced = virtual_service("gone")
    replaced["metadata"]["resourceVersion"] = version
    assert len(warnings(await client.put(f"{VS}/a", json=replaced, params=DRY))) == 1
    assert (await client.get(f"{VS}/a")).json()["metadata"]["resourceVersion"] == version


async def test_deletions_warn_of_what_they_break(client: httpx.AsyncClient) -> None:
    await client.post(VS, json=virtual_service("reviews"))
    for response in (
        await client.delete(f"{SERVICES}/reviews", params=DRY),
        await client.request("DELETE", f"{SERVICES}/reviews", json={"dryRun": ["All"]}),
        await client.delete(SERVICES, params=DRY),
    ):
        assert response.status_code == 200
        assert ["(VirtualService default/a)" in text for text in warnings(response)] == [True]
    assert (await client.get(f"{SERVICES}/reviews")).status_code == 200


async def test_a_refused_dry_run_has_its_causes_and_the_warnings(client: httpx.AsyncClient) -> None:
    wrong = virtual_service("reviewz", timeout="0s")
    refused = await client.post(VS, json=wrong, params=DRY)
    assert refused.status_code == 422
    assert [cause["field"] for cause in refused.json()["details"]["causes"]] == ["spec.http[0].timeout"]
    assert ["[IST0101]" in text for text in warnings(refused)] == [True]
    assert warnings(await client.post(VS, json=wrong)) == []


async def test_nobody_is_told_of_namespaces_that_he_may_not_see(api: Any, client: httpx.AsyncClient) -> None:
    shop = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    assert (await client.post("/api/v1/namespaces", json=shop)).status_code == 201
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "own"}, "spec": {"ports": [{"port": 80}]}}
    await client.post("/api/v1/namespaces/shop/services", json=service)
    await client.post(VS, json=virtual_service("own.shop.svc.cluster.local"))
    path = "/api/v1/namespaces/shop/services/own"
    assert len(warnings(await client.delete(path, params=DRY))) == 1
    async with api.client("editor") as editor:
        deleted = await editor.delete(path, params=DRY)
    assert (deleted.status_code, warnings(deleted)) == (200, [])
