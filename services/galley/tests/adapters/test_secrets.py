"""Secrets: served to who may write them, and nowhere to be found by anybody else."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from galley.adapters.admin import admin_routers
from galley.adapters.config_api.calls import Backend
from galley.adapters.publisher import Publisher
from galley.adapters.store import Store
from galley.core.kind_rules import Naming
from galley.core.storage import Verb, WriteOp
from meshcore.bus.connection import Bus, BusSettings
from meshcore.distribution.keys import Key
from meshcore.errors import MeshError
from meshcore.http import TokenAuthenticator, create_app
from meshcore.runtime import Readiness
from meshcore.runtime.tasks import background
from meshcore.testing.nats import nats_server

SECRETS = "/api/v1/namespaces/default/secrets"
WORD = "hunter2-never-anywhere"
ENCODED = base64.b64encode(WORD.encode()).decode()
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
KEY = Key("", "secrets", "default", "cert")


def secret(word: str = WORD) -> dict[str, Any]:
    encoded = base64.b64encode(word.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "cert",
            "labels": {"app": "x"},
            "annotations": {LAST_APPLIED: json.dumps({"data": {"password": encoded}})},
        },
        "data": {"password": encoded},
        "stringData": {"plain": word},
    }


def assert_silent(*bodies: bytes | str) -> None:
    for body in bodies:
        raw = body.encode() if isinstance(body, str) else body
        assert WORD.encode() not in raw
        assert ENCODED.encode() not in raw


async def test_an_editor_reads_back_what_was_written(api: Any) -> None:
    async with api.client() as client:
        made = await client.post(SECRETS, json=secret())
        assert made.status_code == 201, made.text
        assert (made.json()["type"], made.json()["data"]["plain"]) == ("Opaque", ENCODED)
        assert "stringData" not in made.json()
        read = (await client.get(f"{SECRETS}/cert")).json()
        assert read["data"] == {"password": ENCODED, "plain": ENCODED}
        assert json.loads(read["metadata"]["annotations"][LAST_APPLIED])["data"] == {"password": ENCODED}
        assert (await client.get(SECRETS)).json()["items"][0]["data"]["password"] == ENCODED


async def test_patches_and_applies_see_the_content(api: Any) -> None:
    async with api.client() as client:
        await client.post(SECRETS, json=secret())
        patched = await client.patch(f"{SECRETS}/cert", json={"data": {"plain": None}}, headers=MERGE)
        assert patched.json()["data"] == {"password": ENCODED}
        version = patched.json()["metadata"]["resourceVersion"]
        same = await client.patch(f"{SECRETS}/cert", json={"data": {"password": ENCODED}}, headers=MERGE)
        assert same.json()["metadata"]["resourceVersion"] == version
        applied = await client.patch(
            f"{SECRETS}/cert",
            json={"apiVersion": "v1", "kind": "Secret", "data": {"more": ENCODED}},
            headers={"Content-Type": "application/apply-patch+yaml"},
            params={"fieldManager": "m"},
        )
        assert applied.json()["data"] == {"password": ENCODED, "more": ENCODED}


async def test_tables_and_viewers_see_no_content(api: Any) -> None:
    async with api.client() as client:
        await client.post(SECRETS, json=secret())
        table = await client.get(SECRETS, headers=TABLE, params={"includeObject": "Object"})
        assert table.json()["rows"][0]["cells"][:3] == ["cert", "Opaque", 2]
        one = await client.get(f"{SECRETS}/cert", headers=TABLE)
        assert_silent(table.text, one.text)
    async with api.client("viewer") as viewer:
        for path in (SECRETS, f"{SECRETS}/cert", "/api/v1/secrets"):
            shown = await viewer.get(path)
            assert shown.status_code == 200
            assert_silent(shown.text)
        assert shown.json()["items"][0]["metadata"]["labels"] == {"app": "x"}
        begun = await viewer.get(SECRETS, params={"watch": "true", "timeoutSeconds": "1"})
        assert "cert" in begun.text
        assert_silent(begun.text)


async def watched(client: httpx.AsyncClient, start: str, count: int) -> list[str]:
    """The first frames of a watch, which has no end of its own: it would come before them on a busy machine."""
    async with client.stream("GET", SECRETS, params={"watch": "true", "resourceVersion": start}) as response:
        lines = response.aiter_lines()
        return [await anext(lines) for _ in range(count)]


async def test_a_watch_brings_content_to_editors_and_none_to_viewers(api: Any, store: Store) -> None:
    start = str(await store.revision())
    async with api.client() as client:
        await client.post(SECRETS, json=secret())
        await client.patch(f"{SECRETS}/cert", json={"metadata": {"labels": {"app": "y"}}}, headers=MERGE)
        events = [json.loads(line) for line in await watched(client, start, 2)]
        assert [event["type"] for event in events] == ["ADDED", "MODIFIED"]
        assert all(event["object"]["data"]["password"] == ENCODED for event in events)
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
        assert versions[0] < versions[1]
        await client.delete(f"{SECRETS}/cert")
        gone = await watched(client, start, 3)
        assert json.loads(gone[-1])["type"] == "DELETED"
        assert_silent(*gone)  # it is deleted: nobody can open it any more
    async with api.client("viewer") as viewer:
        assert_silent(*await watched(viewer, start, 3))


@pytest.fixture
async def admin(store: Store, tokens: Path) -> AsyncIterator[httpx.AsyncClient]:
    routers = admin_routers(Backend(store, Naming()), None, asyncio.Event())
    app = create_app("galley", "1.0.0", Readiness(), routers, TokenAuthenticator(tokens))
    headers = {"Authorization": "Bearer token-of-admin"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://galley", headers=headers
    ) as client:
        yield client


async def test_history_audit_changes_and_pages_keep_metadata_and_a_digest(
    api: Any, store: Store, admin: httpx.AsyncClient
) -> None:
    async with api.client() as client:
        await client.post(SECRETS, json=secret())
        await client.patch(f"{SECRETS}/cert", json={"data": {"plain": None}}, headers=MERGE)
    object_path = "/api/v1/objects/core/secrets/default/cert"
    pages = [
        await admin.get(path)
        for path in (object_path, f"{object_path}/history", "/api/v1/audit", "/api/v1/changes", "/debug/configz")
    ]
    assert [page.status_code for page in pages] == [200] * 5, [page.text for page in pages]
    assert_silent(*(page.text for page in pages))
    entries = pages[1].json()["items"]
    digests = {entry["object"]["metadata"]["annotations"]["meshcore.io/content-digest"] for entry in entries}
    assert len(digests) == 2
    first = entries[0]["revision"]
    back = await admin.post(f"{object_path}/rollback", json={"revision": first})
    assert back.status_code >= 400
    assert "only metadata is kept" in back.text


async def test_nothing_of_it_is_published(api: Any, store: Store) -> None:
    before = await store.published_state()
    async with api.client() as client:
        await client.post(SECRETS, json=secret())
    assert await store.unpublished(before.head.revision) == []
    state = await store.published_state()
    assert not any("secrets" in key for key in state.records)
    assert not (await store.change_sets(before.head.revision))[-1].is_config


async def test_the_files_of_nats_have_no_word_of_it(api: Any, store: Store, tmp_path: Path) -> None:
    with nats_server(tmp_path / "nats") as server:
        async with Bus(BusSettings(server.url, name="galley")) as bus:
            publisher = Publisher(store, bus, "galley-0")
            async with background(publisher.run(), name="publisher"), api.client() as client:
                await client.post(SECRETS, json=secret())
                config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "seen"}}
                made = await client.post("/api/v1/namespaces/default/configmaps", json=config_map)
                revision = int(made.json()["metadata"]["resourceVersion"])
                async with asyncio.timeout(60):
                    while publisher.status().published < revision:  # noqa: ASYNC110 - NATS is another process
                        await asyncio.sleep(0.02)
        stored = [path.read_bytes() for path in (tmp_path / "nats" / "jetstream").rglob("*") if path.is_file()]
    assert any(b"seen" in body for body in stored)
    assert_silent(*stored)
    assert not any(b"core.secrets" in body for body in stored)


async def test_the_database_and_the_log_have_no_word_of_it(api: Any, store: Store, tmp_path: Path) -> None:
    def files() -> list[bytes]:
        return [path.read_bytes() for path in sorted(tmp_path.glob("galley.db*"))]

    with structlog.testing.capture_logs() as logs:
        async with api.client() as client:
            await client.post(SECRETS, json=secret())
            await client.post(SECRETS, json=secret())
            await client.patch(f"{SECRETS}/cert", json={"data": {"password": WORD}}, headers=MERGE)
            wrong = await client.post(SECRETS, json={**secret(), "data": {"password": [WORD]}})
            assert_silent(wrong.text)
            assert_silent(*files())
            with sqlite3.connect(f"file:{tmp_path / 'galley.db'}?mode=ro", uri=True) as database:
                (sealed,) = database.execute("SELECT sealed FROM objects WHERE plural = 'secrets'").fetchone()
            database.close()
            wrapped_key = sealed[14:62]
            await client.delete(f"{SECRETS}/cert")
            assert not any(wrapped_key in body for body in files())
    assert_silent(repr(logs), *files())


async def test_without_a_key_no_secret_is_taken(tmp_path: Path) -> None:
    async with await Store.open(f"sqlite:///{tmp_path / 'other.db'}") as opened:
        with pytest.raises(MeshError, match="no key-encryption key"):
            await opened.write([WriteOp(Verb.CREATE, KEY, secret())], "somebody")


async def test_with_another_key_a_secret_does_not_open(api: Any, store: Store) -> None:
    async with api.client() as client:
        await client.post(SECRETS, json=secret())
    stored = await store.get(KEY)
    assert_silent(repr(stored), repr(store.reveal(stored)))
    with pytest.raises(MeshError, match="does not open"):
        store.reveal(replace(stored, uid="another"))


async def test_a_secret_that_waits_for_its_finalizers_keeps_its_content(api: Any) -> None:
    held = secret()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    async with api.client() as client:
        await client.post(SECRETS, json=held)
        assert "deletionTimestamp" in (await client.delete(f"{SECRETS}/cert")).json()["metadata"]
        assert (await client.get(f"{SECRETS}/cert")).json()["data"]["password"] == ENCODED
        await client.patch(f"{SECRETS}/cert", json={"metadata": {"finalizers": None}}, headers=MERGE)
        assert (await client.get(f"{SECRETS}/cert")).status_code == 404
