"""The admin API: history, as-of reads, rollback, change sets, audit, debug pages, and its OpenAPI."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from galley.adapters.admin import admin_routers
from galley.adapters.config_api.calls import Backend
from galley.adapters.store import Store
from galley.core.kind_rules import Naming
from meshcore.http import TokenAuthenticator, create_app, listening
from meshcore.runtime import Readiness

NOTES = "/api/v1/objects/core/configmaps/default/notes"


@pytest.fixture
async def admin(store: Store, tokens: Path) -> AsyncIterator[httpx.AsyncClient]:
    routers = admin_routers(Backend(store, Naming()), None, asyncio.Event())
    app = create_app("galley", "1.0.0", Readiness(), routers, TokenAuthenticator(tokens))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": "Bearer token-of-admin"}
    async with httpx.AsyncClient(transport=transport, base_url="http://galley", headers=headers) as client:
        yield client


def config_map(name: str = "notes", **data: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def virtual_service(host: str = "a", weight: int = 1) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "v", "namespace": "default"},
        "spec": {"hosts": [host], "http": [{"route": [{"destination": {"host": "a"}, "weight": weight}]}]},
    }


async def change(client: httpx.AsyncClient, *objects: dict[str, Any], operation: str = "apply", **more: Any) -> Any:
    changes = [{"operation": operation, "object": document} for document in objects]
    return await client.post("/api/v1/changesets", json={"changes": changes, **more})


async def test_change_set_is_one_revision(admin: httpx.AsyncClient, store: Store) -> None:
    before = await store.revision()
    made = (await change(admin, config_map(a="1"), virtual_service())).json()
    assert made["revision"] == before + 1 == await store.revision()
    assert [(item["key"]["plural"], item["operation"]) for item in made["objects"]] == [
        ("configmaps", "apply"),
        ("virtualservices", "apply"),
    ]
    assert {item["resource_version"] for item in made["objects"]} == {str(made["revision"])}
    (listed,) = (await admin.get("/api/v1/changes", params={"after": before})).json()["items"]
    assert (listed["author"], len(listed["changes"])) == ("admin", 2)


async def test_change_set_with_a_fault_changes_nothing_and_names_every_violation(
    admin: httpx.AsyncClient, store: Store
) -> None:
    before = await store.revision()
    refused = await change(admin, config_map(a="1"), virtual_service("b_a", -1), config_map("other", b=2))
    assert refused.status_code == 422
    assert [violation["field"] for violation in refused.json()["violations"]] == [
        "changes[1].object.spec.hosts[0]",
        "changes[1].object.spec.http[0].route[0].weight",
        "changes[2].object.data.b",
    ]
    assert await store.revision() == before


async def test_dry_run_of_a_change_set_writes_nothing(admin: httpx.AsyncClient, store: Store) -> None:
    before = await store.revision()
    shown = (await change(admin, config_map(a="1"), dry_run=True)).json()
    assert (shown["dry_run"], shown["revision"], shown["commit_time"]) == (True, before + 1, None)
    assert await store.revision() == before
    refused = await change(admin, config_map(a="1"), operation="update", dry_run=True)
    assert refused.status_code == 404


async def test_dry_run_tells_what_analysis_would_say_of_the_whole(admin: httpx.AsyncClient) -> None:
    assert (await change(admin, virtual_service())).json()["what_if"] is None
    rule = virtual_service(weight=2)
    rule["spec"]["http"][0]["route"][0]["destination"]["host"] = "b"
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b", "namespace": "default"}}
    service["spec"] = {"ports": [{"name": "http", "port": 80}]}
    alone = (await change(admin, rule, dry_run=True)).json()["what_if"]
    assert [(one["code"], one["level"], one["origin"]) for one in alone["findings"]] == [
        ("IST0101", "Error", "VirtualService default/v")
    ]
    assert (alone["proxies"], alone["proxies_not_known"]) == (None, "no Pilot is known here (GALLEY_PILOT_URL)")
    whole = (await change(admin, rule, service, dry_run=True)).json()["what_if"]
    assert whole["findings"] == []
    assert [one["message"] for one in whole["resolved"]] == ['Referenced host not found: "a"']


async def test_refused_dry_run_has_violations_and_findings_with_patches(admin: httpx.AsyncClient) -> None:
    await change(admin, config_map(a="1"))
    wrong = virtual_service(weight=-1)
    wrong["spec"]["http"] *= 2
    refused = await change(admin, wrong, dry_run=True)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    problem = refused.json()
    assert "changes[0].object.spec.http[0].route[0].weight" in [one["field"] for one in problem["violations"]]
    fixes = {one["code"]: one.get("fix") for one in problem["what_if"]["findings"]}
    assert fixes["IST0130"]["patch"] == [{"op": "remove", "path": "/spec/http/1"}]
    assert "what_if" not in (await change(admin, wrong)).json()


async def test_change_set_is_all_or_nothing_for_conflicts_too(admin: httpx.AsyncClient, store: Store) -> None:
    await change(admin, config_map(a="1"))
    before = await store.revision()
    changes = [
        {"operation": "create", "object": virtual_service()},
        {"operation": "create", "object": config_map(a="2")},
    ]
    refused = await admin.post("/api/v1/changesets", json={"changes": changes})
    assert (refused.status_code, refused.json()["code"]) == (409, "already-exists")
    assert await store.revision() == before
    stale = config_map(a="3")
    stale["metadata"]["resourceVersion"] = "1"
    assert (await change(admin, stale)).status_code == 409


async def test_namespace_and_its_content_come_together(admin: httpx.AsyncClient, store: Store) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    inside = config_map(a="1")
    inside["metadata"]["namespace"] = "shop"
    made = await change(admin, namespace, inside)
    assert made.status_code == 200, made.text
    inside["metadata"]["namespace"] = "absent"
    assert (await change(admin, inside)).status_code == 404


async def test_past_is_read_and_brought_back(admin: httpx.AsyncClient, store: Store) -> None:
    first = (await change(admin, config_map(a="1"))).json()["revision"]
    await change(admin, config_map(a="2"))
    now = await admin.get(NOTES)
    assert now.json()["data"] == {"a": "2"}
    past = (await admin.get(NOTES, params={"asOf": first})).json()
    assert past["data"] == {"a": "1"}
    history = (await admin.get(f"{NOTES}/history")).json()["items"]
    assert [(item["type"], item["object"]["data"]["a"]) for item in history] == [("ADDED", "1"), ("MODIFIED", "2")]
    stale = await admin.post(f"{NOTES}/rollback", json={"revision": first}, headers={"If-Match": '"1"'})
    assert stale.status_code == 409
    match = {"If-Match": now.headers["ETag"]}
    back = await admin.post(f"{NOTES}/rollback", json={"revision": first}, headers=match)
    assert back.json()["data"] == {"a": "1"}
    assert back.headers["ETag"] == f'"{await store.revision()}"'


async def test_deleted_object_is_brought_back(admin: httpx.AsyncClient) -> None:
    first = (await change(admin, config_map(a="1"))).json()["revision"]
    await change(admin, config_map(), operation="delete")
    assert (await admin.get(NOTES)).status_code == 404
    back = await admin.post(f"{NOTES}/rollback", json={"revision": first})
    assert back.json()["data"] == {"a": "1"}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/objects/core/nothing/default/x", 404),
        ("/api/v1/objects/core/configmaps/_/x", 404),
        ("/api/v1/objects/core/configmaps/default/absent/history", 404),
        ("/api/v1/objects/core/namespaces/_/default", 200),
        (f"{NOTES}?asOf=0", 422),
        ("/api/v1/objects/core/namespaces/_/default?asOf=99999", 404),
        ("/debug/publisherz", 200),
    ],
)
async def test_reads_of_the_admin_api(admin: httpx.AsyncClient, path: str, code: int) -> None:
    assert (await admin.get(path)).status_code == code


async def test_roles_of_the_admin_api(admin: httpx.AsyncClient) -> None:
    await change(admin, config_map(a="1"))
    for user, allowed in (("viewer", True), ("editor", False), ("nobody", False)):
        headers = {"Authorization": f"Bearer token-of-{user}"}
        read = await admin.get(NOTES, headers=headers)
        assert (read.status_code == 200) is allowed
        body = {"changes": [{"object": config_map(a="2")}]}
        assert (await admin.post("/api/v1/changesets", json=body, headers=headers)).status_code == 403
        assert (await admin.get("/api/v1/audit", headers=headers)).status_code == 403
    assert (await admin.get(NOTES, headers={"Authorization": "Bearer x"})).status_code == 401


async def test_audit_pages_backwards(admin: httpx.AsyncClient) -> None:
    for value in ("1", "2", "3"):
        await change(admin, config_map(a=value))
    first = (await admin.get("/api/v1/audit", params={"limit": 2})).json()
    second = (await admin.get("/api/v1/audit", params={"limit": 2, "continue": first["continue"]})).json()
    numbers = [item["number"] for item in first["items"] + second["items"]]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 4


async def test_configz_shows_what_consumers_get(admin: httpx.AsyncClient) -> None:
    await change(admin, virtual_service("reviews"))
    (shown,) = (await admin.get("/debug/configz", params={"kind": "VirtualService"})).json()["items"]
    assert shown["spec"]["hosts"] == ["reviews.default.svc.cluster.local"]
    everything = (await admin.get("/debug/configz")).json()["items"]
    assert {item["kind"] for item in everything} >= {"Namespace", "ServiceAccount", "VirtualService"}


async def test_changes_are_told_as_they_come(store: Store, tokens: Path) -> None:
    stopping = asyncio.Event()
    app = create_app(
        "galley",
        "1.0.0",
        Readiness(),
        admin_routers(Backend(store, Naming()), None, stopping),
        TokenAuthenticator(tokens),
    )
    before = await store.revision()
    headers = {"Authorization": "Bearer token-of-admin", "Last-Event-ID": str(before)}
    async with (
        listening(app, "127.0.0.1", 0) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client,
        client.stream("GET", "/api/v1/changes/events") as response,
    ):
        lines = response.aiter_lines()
        await change(client, config_map(a="1"))
        async with asyncio.timeout(60):
            told = [line async for line in _until(lines, "data:")]
        assert f"id: {before + 1}" in told
        assert json.loads(told[-1].removeprefix("data:"))["author"] == "admin"
        stopping.set()
        async with asyncio.timeout(60):
            assert [line async for line in lines if line] == []


async def _until(lines: AsyncIterator[str], prefix: str) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith(prefix):
            return


@pytest.mark.parametrize("operation", ["apply", "create", "update", "delete"])
@pytest.mark.parametrize("metadata", [[1], "x", None, 5])
async def test_metadata_that_is_no_mapping_is_a_violation(
    admin: httpx.AsyncClient, operation: str, metadata: Any
) -> None:
    wrong = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    for dry_run in (False, True):
        answer = await change(admin, wrong, operation=operation, dry_run=dry_run)
        assert (answer.status_code, answer.json()["violations"][0]["field"]) == (422, "metadata")
