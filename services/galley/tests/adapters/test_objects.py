"""The config API over TLS with a real store: create, read, replace, patch, delete, and what is refused."""

import asyncio
from typing import Any

import httpx
import pytest

VS = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
CM = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


def virtual_service(name: str = "reviews", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}], **spec},
    }


def config_map(name: str = "notes", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def assert_status(response: httpx.Response, code: int, reason: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["kind"], body["status"], body["reason"], body["code"]) == (
        code,
        "Status",
        "Failure",
        reason,
        code,
    ), response.text
    return body


async def test_created_object_is_read_back_as_it_was_written(api: Any) -> None:
    async with api.client() as client:
        created = await client.post(VS, json=virtual_service())
        assert created.status_code == 201, created.text
        body = created.json()
        assert body["spec"]["hosts"] == ["reviews"]
        assert body["metadata"]["generation"] == 1
        assert body["metadata"]["namespace"] == "default"
        assert body["metadata"]["uid"]
        assert (await client.get(f"{VS}/reviews")).json() == body


async def test_every_version_shows_the_same_object(api: Any) -> None:
    async with api.client() as client:
        await client.post(
            VS.replace("/v1/", "/v1alpha3/"), json=virtual_service() | {"apiVersion": "networking.istio.io/v1alpha3"}
        )
        old, new = [
            (await client.get(VS.replace("/v1/", f"/{version}/") + "/reviews")).json() for version in ("v1beta1", "v1")
        ]
        assert old.pop("apiVersion") == "networking.istio.io/v1beta1"
        assert new.pop("apiVersion") == "networking.istio.io/v1"
        assert old == new


async def test_second_create_already_exists(api: Any) -> None:
    async with api.client() as client:
        await client.post(VS, json=virtual_service())
        body = assert_status(await client.post(VS, json=virtual_service()), 409, "AlreadyExists")
        assert body["details"] == {"name": "reviews", "group": "networking.istio.io", "kind": "virtualservices"}


async def test_last_applied_annotation_survives_byte_for_byte(api: Any) -> None:
    text = '{"b":1,"a":[2]}\n'
    document = virtual_service()
    document["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": text}
    async with api.client() as client:
        await client.post(VS, json=document)
        body = (await client.get(f"{VS}/reviews")).json()
        assert body["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] == text


async def test_two_writers_with_the_same_version_one_loses(api: Any) -> None:
    async with api.client() as client:
        first = (await client.post(VS, json=virtual_service())).json()
        one = {**first, "spec": {**first["spec"], "hosts": ["one"]}}
        other = {**first, "spec": {**first["spec"], "hosts": ["other"]}}
        answers = await asyncio.gather(*(client.put(f"{VS}/reviews", json=document) for document in (one, other)))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        body = assert_status(next(a for a in answers if a.status_code == 409), 409, "Conflict")
        assert "please apply your changes to the latest version and try again" in body["message"]
        winner = next(a for a in answers if a.status_code == 200).json()
        assert (await client.get(f"{VS}/reviews")).json() == winner


async def test_replace_needs_a_version_for_custom_resources_but_not_for_config_maps(api: Any) -> None:
    async with api.client() as client:
        await client.post(VS, json=virtual_service())
        body = assert_status(await client.put(f"{VS}/reviews", json=virtual_service()), 422, "Invalid")
        assert body["details"]["causes"][0]["field"] == "metadata.resourceVersion"
        await client.post(CM, json=config_map(a="1"))
        assert (await client.put(f"{CM}/notes", json=config_map(a="2"))).json()["data"] == {"a": "2"}


@pytest.mark.parametrize(
    ("change", "code", "reason", "words"),
    [
        ({"apiVersion": "networking.istio.io/v1beta1"}, 400, "BadRequest", "does not match the expected API version"),
        ({"kind": "Sidecar"}, 400, "BadRequest", "does not match the expected kind"),
        ({"metadata": {"name": "b", "namespace": "other"}}, 400, "BadRequest", "does not match the namespace sent"),
        ({"metadata": {"name": "b", "resourceVersion": "1"}}, 500, "InternalError", "resourceVersion should not be"),
        ({"metadata": {"name": "Bad_Name"}}, 422, "Invalid", "metadata.name"),
        ({"metadata": {}}, 422, "Invalid", "name or generateName is required"),
        ({"metadata": {"name": "b", "labels": {"a": True}}}, 400, "BadRequest", "is not a string"),
        ({"metadata": "b"}, 400, "BadRequest", "metadata is required"),
        ({"spec": []}, 422, "Invalid", "spec"),
    ],
)
async def test_wrong_object_is_refused(api: Any, change: dict[str, Any], code: int, reason: str, words: str) -> None:
    async with api.client() as client:
        body = assert_status(await client.post(VS, json=virtual_service() | change), code, reason)
        assert words in body["message"]
        assert (await client.get(VS)).json()["items"] == []


@pytest.mark.parametrize(
    ("content", "content_type", "code", "reason"),
    [
        (b"{", "application/json", 400, "BadRequest"),
        (b"[]", "application/json", 400, "BadRequest"),
        (b'{"a":NaN}', "application/json", 400, "BadRequest"),
        (b"[" * 100_000, "application/json", 400, "BadRequest"),
        (b"\xff", "application/yaml", 400, "BadRequest"),
        (b"a: &a [*a]", "application/yaml", 400, "BadRequest"),
        (b"", "text/html", 415, "UnsupportedMediaType"),
        (b"k8s\x00\xff\xff", "application/vnd.kubernetes.protobuf", 400, "BadRequest"),
        (b"x" * (3 * 1024 * 1024 + 1), "application/json", 413, "RequestEntityTooLarge"),
    ],
)
async def test_wrong_body_is_a_status(api: Any, content: bytes, content_type: str, code: int, reason: str) -> None:
    async with api.client() as client:
        assert_status(await client.post(VS, content=content, headers={"Content-Type": content_type}), code, reason)


async def test_all_violations_come_at_once(api: Any) -> None:
    wrong = {
        "hosts": ["bad_host"],
        "http": [{"route": [{"destination": {"host": "*"}, "weight": -1}], "timeout": "1us"}],
    }
    async with api.client() as client:
        body = assert_status(await client.post(VS, json=virtual_service(**wrong)), 422, "Invalid")
        assert body["details"]["kind"] == "VirtualService"
        assert {cause["field"] for cause in body["details"]["causes"]} == {
            "spec.hosts[0]",
            "spec.http[0].route[0].destination.host",
            "spec.http[0].route[0].weight",
            "spec.http[0].timeout",
        }


async def test_unknown_field_is_refused_warned_of_or_dropped(api: Any) -> None:
    document = virtual_service()
    document["spec"]["http"][0]["bogus"] = 1
    async with api.client() as client:
        body = assert_status(
            await client.post(VS, json=document, params={"fieldValidation": "Strict"}), 400, "BadRequest"
        )
        assert body["message"] == (
            'VirtualService in version "v1" cannot be handled as a VirtualService: '
            'strict decoding error: unknown field "spec.http[0].bogus"'
        )
        warned = await client.post(VS, json=document, params={"dryRun": "All"})
        assert warned.headers.get_list("Warning")[0] == '299 - "unknown field \\"spec.http[0].bogus\\""'
        ignored = await client.post(VS, json=document, params={"fieldValidation": "Ignore"})
        assert "Warning" not in ignored.headers
        assert "bogus" not in ignored.json()["spec"]["http"][0]
        assert_status(await client.post(VS, json=document, params={"fieldValidation": "Maybe"}), 400, "BadRequest")


async def test_key_that_stands_twice_is_refused_in_strict_mode(api: Any) -> None:
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"notes"},"data":{"a":"1","a":"2"}}'
    async with api.client() as client:
        headers = {"Content-Type": "application/json"}
        strict = await client.post(CM, content=text, headers=headers, params={"fieldValidation": "Strict"})
        assert 'duplicate field "data.a"' in assert_status(strict, 400, "BadRequest")["message"]
        assert (await client.post(CM, content=text, headers=headers)).json()["data"] == {"a": "2"}


async def test_missing_subset_is_accepted_with_a_warning(api: Any) -> None:
    to_subset = {"http": [{"route": [{"destination": {"host": "reviews", "subset": "v1"}}]}]}
    rule = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "reviews"},
        "spec": {"host": "reviews.default.svc.cluster.local", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
    }
    async with api.client() as client:
        created = await client.post(VS, json=virtual_service(**to_subset))
        assert created.status_code == 201
        assert "spec.http[0].route[0].destination.subset" in created.headers["Warning"]
        assert "'v1'" in created.headers["Warning"]
        await client.post(VS.replace("virtualservices", "destinationrules"), json=rule)
        again = await client.post(VS, json=virtual_service("second", **to_subset))
        assert "Warning" not in again.headers


async def test_wrong_mesh_config_is_refused_when_it_is_written(api: Any) -> None:
    path = CM.replace("default", "istio-system")
    async with api.client() as client:
        body = assert_status(
            await client.post(path, json=config_map("istio", mesh="connectTimeout: 2h")), 422, "Invalid"
        )
        assert body["details"]["causes"][0]["field"] == "data.mesh: connectTimeout"
        assert (await client.post(path, json=config_map("istio", mesh="accessLogFile: /dev/stdout"))).status_code == 201
        wrong = await client.patch(f"{path}/istio", json={"data": {"mesh": "proxyListenPort: 0"}}, headers=MERGE)
        assert_status(wrong, 422, "Invalid")


async def test_status_in_the_main_body_is_ignored(api: Any) -> None:
    async with api.client() as client:
        created = (await client.post(VS, json=virtual_service() | {"status": {"x": 1}})).json()
        assert "status" not in created


async def test_generate_name_makes_a_name(api: Any) -> None:
    document = virtual_service()
    document["metadata"] = {"generateName": "reviews-"}
    async with api.client() as client:
        names = {(await client.post(VS, json=document)).json()["metadata"]["name"] for _ in range(3)}
        assert len(names) == 3
        assert all(name.startswith("reviews-") and len(name) == len("reviews-") + 5 for name in names)


async def test_yaml_body_is_read(api: Any) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata: {a: b}\n"
    async with api.client() as client:
        created = await client.post(CM, content=text, headers={"Content-Type": "application/yaml"})
        assert created.status_code == 201
        shown = await client.get(f"{CM}/notes", headers={"Accept": "application/yaml"})
        assert "a: b" in shown.text


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


async def test_dry_run_answers_and_stores_nothing(api: Any) -> None:
    dry = {"dryRun": "All"}
    async with api.client() as client:
        created = await client.post(VS, json=virtual_service(), params=dry)
        assert created.status_code == 201
        assert "resourceVersion" not in created.json()["metadata"]
        assert_status(await client.get(f"{VS}/reviews"), 404, "NotFound")
        first = (await client.post(VS, json=virtual_service())).json()
        assert_status(await client.post(VS, json=virtual_service(), params=dry), 409, "AlreadyExists")
        patched = (
            await client.patch(f"{VS}/reviews", json={"spec": {"hosts": ["x"]}}, headers=MERGE, params=dry)
        ).json()
        assert patched["metadata"]["generation"] == 2
        assert patched["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        deleted = await client.request("DELETE", f"{VS}/reviews", json={"dryRun": ["All"]})
        assert deleted.json()["status"] == "Success"
        assert (await client.get(f"{VS}/reviews")).json() == first
        body = assert_status(
            await client.post(VS, json=virtual_service("b"), params={"dryRun": "Some"}), 422, "Invalid"
        )
        assert "dryRun" in body["message"]
        assert_status(await client.delete(f"{VS}/reviews", params={"dryRun": ""}), 422, "Invalid")


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


async def test_status_is_for_its_own_writers(api: Any) -> None:
    conditions = {"status": {"conditions": [{"type": "Reconciled"}]}, "spec": {"hosts": ["changed"]}}
    async with api.client() as client, api.client("status-writer") as writer:
        first = (await client.post(VS, json=virtual_service())).json()
        written = (await writer.patch(f"{VS}/reviews/status", json=conditions, headers=MERGE)).json()
        assert written["status"] == conditions["status"]
        assert written["spec"] == first["spec"]
        assert written["metadata"]["generation"] == 1
        assert written["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
        put = await writer.put(f"{VS}/reviews/status", json={**written, "status": {"x": 1}})
        assert put.json()["status"] == {"x": 1}
        kept = (
            await client.patch(f"{VS}/reviews", json={"spec": {"hosts": ["a"]}, "status": {}}, headers=MERGE)
        ).json()
        assert kept["status"] == {"x": 1}
        assert_status(await writer.post(VS, json=virtual_service("b")), 403, "Forbidden")
        assert_status(await writer.get(VS), 403, "Forbidden")


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
