"""The config API over TLS with a real store: create, read, replace, and what is refused."""

import asyncio
from typing import Any

import pytest
from api_objects import CM, JSON_PATCH, MERGE, VS, assert_status, config_map, virtual_service


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


@pytest.mark.parametrize("validation", ["Strict", "Ignore"])
@pytest.mark.parametrize("field", ["match", "unknown"])
async def test_an_object_that_is_nested_too_deeply_is_refused_whatever_way_it_comes(
    api: Any, field: str, validation: str
) -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    document = virtual_service()
    document["spec"]["http"][0][field] = deep
    asked = {"fieldValidation": validation}
    async with api.client() as client:
        body = assert_status(await client.post(VS, json=document, params=asked), 400, "BadRequest")
        assert f"spec.http[0].{field}: nested more than 100 levels deep" in body["message"]
        await client.post(VS, json=virtual_service())
        replaced = await client.put(f"{VS}/reviews", json=document, params=asked)
        assert_status(replaced, 400, "BadRequest")
        patched = await client.patch(f"{VS}/reviews", json={"spec": document["spec"]}, headers=MERGE, params=asked)
        assert_status(patched, 400, "BadRequest")
        apply = {"Content-Type": "application/apply-patch+yaml"}
        applied = await client.patch(
            f"{VS}/reviews", json=document, headers=apply, params={**asked, "fieldManager": "test"}
        )
        assert_status(applied, 400, "BadRequest")


@pytest.mark.parametrize("times", [150, 2_000])
async def test_a_patch_that_copies_an_object_into_itself_is_refused(api: Any, times: int) -> None:
    nested = [{"op": "copy", "from": "/spec/http/0", "path": "/spec/http/0/again"}] * times
    async with api.client() as client:
        await client.post(VS, json=virtual_service())
        answer = await client.patch(f"{VS}/reviews", json=nested, headers=JSON_PATCH)
        assert answer.status_code in (400, 422), answer.status_code
        assert any(reason in answer.text for reason in ("too deeply", "levels deep", "exceeding the limit"))


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
