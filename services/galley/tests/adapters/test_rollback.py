"""The whole store goes back to a revision as one new revision, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from galley.adapters.admin import admin_routers
from galley.adapters.config_api.calls import Backend
from galley.adapters.store import Store
from galley.core.kind_rules import Naming
from meshcore.distribution.keys import Key
from meshcore.http import TokenAuthenticator, create_app
from meshcore.runtime import Readiness


@pytest.fixture
async def admin(store: Store, tokens: Path) -> AsyncIterator[httpx.AsyncClient]:
    routers = admin_routers(Backend(store, Naming()), None, asyncio.Event())
    app = create_app("galley", "1.0.0", Readiness(), routers, TokenAuthenticator(tokens))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": "Bearer token-of-admin"}
    async with httpx.AsyncClient(transport=transport, base_url="http://galley", headers=headers) as client:
        yield client


def config_map(name: str, value: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}}


async def change(client: httpx.AsyncClient, operation: str, *objects: dict[str, Any]) -> int:
    changes = [{"operation": operation, "object": document} for document in objects]
    answer = await client.post("/api/v1/changesets", json={"changes": changes})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["revision"])


async def values(store: Store) -> dict[str, str]:
    page = await store.list("", "configmaps", "default")
    return {stored.key.name: stored.object["data"]["value"] for stored in page.items}


async def test_everything_is_as_it_was_and_one_revision_says_so(admin: httpx.AsyncClient, store: Store) -> None:
    then = await change(admin, "apply", config_map("kept", "1"), config_map("edited", "1"), config_map("lost", "1"))
    await change(admin, "apply", config_map("edited", "2"), config_map("new", "1"))
    last = await change(admin, "delete", config_map("lost", ""))
    answer = await admin.post("/api/v1/rollback", json={"revision": then})
    assert answer.json() == {"revision": last + 1, "to": then, "created": 1, "updated": 1, "deleted": 1}
    assert await values(store) == {"kept": "1", "edited": "1", "lost": "1"}
    assert (await store.get(Key("", "configmaps", "default", "kept"))).revision == then
    again = await admin.post("/api/v1/rollback", json={"revision": last})
    assert (again.json()["revision"], await values(store)) == (last + 2, {"kept": "1", "edited": "2", "new": "1"})


async def test_going_back_to_now_changes_nothing(admin: httpx.AsyncClient, store: Store) -> None:
    then = await change(admin, "apply", config_map("a", "1"))
    answer = await admin.post("/api/v1/rollback", json={"revision": then})
    assert answer.json() == {"revision": then, "to": then, "created": 0, "updated": 0, "deleted": 0}
    assert await store.revision() == then


async def test_a_revision_of_the_future_is_refused(admin: httpx.AsyncClient, store: Store) -> None:
    answer = await admin.post("/api/v1/rollback", json={"revision": await store.revision() + 1})
    assert answer.status_code == 404
    assert "is not there yet" in answer.json()["detail"]
