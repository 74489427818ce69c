"""Server-side apply over the wire: what is stored, what is published, what is refused."""

import asyncio
from typing import Any

import pytest
from galley.adapters.store import Store
from meshcore.distribution.keys import Key

CM = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"
VS = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
APPLY = {"Content-Type": "application/apply-patch+yaml"}


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}, "data": data}


async def apply(client: Any, path: str, body: Any, manager: str = "m1", **query: str) -> Any:
    content = {"content": body} if isinstance(body, str | bytes) else {"json": body}
    return await client.patch(path, headers=APPLY, params={"fieldManager": manager, **query}, **content)


def owners(document: dict[str, Any]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in document["metadata"].get("managedFields", [])}


async def test_yaml_is_applied_and_the_url_gives_the_name(api: Any) -> None:
    async with api.client() as client:
        made = await apply(client, f"{CM}/notes", "apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n")
        assert made.status_code == 201, made.text
        assert (made.json()["metadata"]["name"], made.json()["data"]) == ("notes", {"a": "b"})


async def test_managers_are_stored_and_not_published(api: Any, store: Store) -> None:
    async with api.client() as client:
        await apply(client, f"{CM}/notes", config_map(a="1"))
        assert owners((await client.get(f"{CM}/notes")).json()) == {"m1": {"f:data": {"f:a": {}}}}
    stored = await store.get(Key("", "configmaps", "default", "notes"))
    assert "managedFields" in stored.object["metadata"]
    assert "managedFields" not in stored.normalised_document()["metadata"]


async def test_who_writes_without_a_field_manager_is_the_user_agent(api: Any) -> None:
    async with api.client() as client:
        made = await client.post(CM, json=config_map(a="1"), headers={"User-Agent": "curl/8.1"})
        assert owners(made.json()) == {"curl": {"f:data": {".": {}, "f:a": {}}}}


async def test_applying_the_same_again_makes_no_revision(api: Any, store: Store) -> None:
    async with api.client() as client:
        first = (await apply(client, f"{CM}/notes", config_map(a="1"))).json()
        before = await store.revision()
        again = await apply(client, f"{CM}/notes", config_map(a="1"))
        assert (again.status_code, again.json()) == (200, first)
        assert await store.revision() == before


async def test_defaults_are_nobodys_and_ports_are_owned_one_by_one(api: Any) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "reviews"}}
    async with api.client() as client:
        await apply(client, f"{SERVICES}/reviews", {**service, "spec": {"ports": [{"name": "a", "port": 80}]}})
        both = await apply(
            client, f"{SERVICES}/reviews", {**service, "spec": {"ports": [{"name": "b", "port": 81}]}}, "m2"
        )
        assert both.status_code == 200, both.text
        assert [port["port"] for port in both.json()["spec"]["ports"]] == [80, 81]
        assert both.json()["spec"]["type"] == "ClusterIP"
        port = {".": {}, "f:name": {}, "f:port": {}}
        assert owners(both.json())["m2"] == {"f:spec": {"f:ports": {'k:{"port":81,"protocol":"TCP"}': port}}}
        alone = await apply(client, f"{SERVICES}/reviews", service, "m1")
        assert [port["port"] for port in alone.json()["spec"]["ports"]] == [81]


async def test_an_edit_takes_a_field_and_the_next_apply_is_in_conflict(api: Any) -> None:
    async with api.client() as client:
        await apply(client, f"{CM}/notes", config_map(a="1"))
        merge = {"Content-Type": "application/merge-patch+json"}
        await client.patch(
            f"{CM}/notes", json={"data": {"a": "2"}}, headers=merge, params={"fieldManager": "kubectl-edit"}
        )
        refused = await apply(client, f"{CM}/notes", config_map(a="3"))
        assert refused.status_code == 409
        assert refused.json()["message"] == (
            'Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.a'
        )
        forced = await apply(client, f"{CM}/notes", config_map(a="3"), force="true")
        assert owners(forced.json()) == {"m1": {"f:data": {"f:a": {}}}}


async def test_every_version_is_one_object_with_one_owner(api: Any) -> None:
    body = {"kind": "VirtualService", "metadata": {"name": "reviews"}, "spec": {"hosts": ["reviews"]}}
    http = [{"route": [{"destination": {"host": "reviews"}}]}]
    body["spec"] = {"hosts": ["reviews"], "http": http}
    async with api.client() as client:
        await apply(client, f"{VS}/reviews", {**body, "apiVersion": "networking.istio.io/v1"})
        path = VS.replace("/v1/", "/v1beta1/")
        again = await apply(client, f"{path}/reviews", {**body, "apiVersion": "networking.istio.io/v1beta1"})
        assert again.status_code == 200
        assert len(again.json()["metadata"]["managedFields"]) == 1
        wrong = await apply(client, f"{path}/reviews", {**body, "apiVersion": "networking.istio.io/v1"})
        assert (wrong.status_code, wrong.json()["reason"]) == (400, "BadRequest")


async def test_dry_run_answers_and_stores_nothing(api: Any, store: Store) -> None:
    async with api.client() as client:
        shown = await apply(client, f"{CM}/notes", config_map(a="1"), dryRun="All")
        assert (shown.status_code, shown.json()["data"]) == (201, {"a": "1"})
        assert (await client.get(f"{CM}/notes")).status_code == 404


async def test_what_is_applied_is_validated_like_any_object(api: Any) -> None:
    async with api.client() as client:
        wrong = await apply(client, f"{CM}/notes", {**config_map(a="1"), "bogus": 1}, fieldValidation="Strict")
        assert (wrong.status_code, wrong.json()["reason"]) == (400, "BadRequest")
        assert 'unknown field "bogus"' in wrong.json()["message"]
        dropped = await apply(client, f"{CM}/notes", {**config_map(a="1"), "bogus": 1}, fieldValidation="Ignore")
        assert owners(dropped.json()) == {"m1": {"f:data": {"f:a": {}}}}
        missing = await apply(client, "/api/v1/namespaces/absent/configmaps/notes", config_map(a="1"))
        assert (missing.status_code, missing.json()["details"]["kind"]) == (404, "namespaces")


async def test_a_version_in_the_configuration_is_a_precondition(api: Any) -> None:
    stale = config_map(a="2")
    stale["metadata"]["resourceVersion"] = "1"
    async with api.client() as client:
        assert (await apply(client, f"{CM}/notes", stale)).status_code == 409
        await apply(client, f"{CM}/notes", config_map(a="1"))
        assert (await apply(client, f"{CM}/notes", stale)).status_code == 409


async def test_managers_that_apply_at_once_all_win(api: Any) -> None:
    async with api.client() as client:
        answers = await asyncio.gather(
            *(apply(client, f"{CM}/notes", config_map(**{f"k{n}": "v"}), f"m{n}") for n in range(6))
        )
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
        assert set((await client.get(f"{CM}/notes")).json()["data"]) == {f"k{n}" for n in range(6)}


@pytest.mark.parametrize("body", ["[]", "{", "a: &a [*a]", '{"apiVersion":"v1","kind":"ConfigMap","metadata":3}', ""])
async def test_what_is_no_configuration_is_a_status(api: Any, body: str) -> None:
    async with api.client() as client:
        refused = await apply(client, f"{CM}/notes", body)
        assert (refused.status_code, refused.json()["kind"]) == (400, "Status"), refused.text
