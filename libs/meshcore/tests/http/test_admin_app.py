import json
import os
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends
from meshcore.errors import HTTP_STATUS, ErrorCode, MeshError, Violation
from meshcore.http import Caller, Role, TokenAuthenticator, create_app, page_of, require
from meshcore.http.callers import Credentials
from meshcore.http.tokens import parse_tokens, token_entry
from meshcore.identity import SpiffeId
from meshcore.runtime import Readiness
from pydantic import BaseModel


class Thing(BaseModel):
    weight: int


def routers() -> APIRouter:
    router = APIRouter(prefix="/api/v1")

    @router.get("/namespaces/{namespace}/things")
    async def list_things(caller: Annotated[Caller, Depends(require(Role.VIEWER))]) -> dict[str, str]:
        return {"user": caller.user}

    @router.post("/things")
    async def create_thing(thing: Thing) -> Thing:
        return thing

    @router.get("/errors/{code}")
    async def get_error(code: ErrorCode) -> None:
        raise MeshError(code, "as asked", [Violation("spec.weight", "must not be negative", "0 or more")])

    @router.get("/bug")
    async def get_bug() -> None:
        raise RuntimeError("the inside of the service")

    return router


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens.json"
    entries = [
        token_entry("admin-token", "admin", {"*": [Role.ADMIN]}),
        token_entry("team-token", "team", {"shop": [Role.VIEWER]}),
    ]
    path.write_text(json.dumps({"tokens": entries}))
    return path


@pytest.fixture
async def client(tokens):
    app = create_app("galley", "1", Readiness(), [routers()], TokenAuthenticator(tokens), largest_body=1000)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://galley") as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_only_four_paths_are_open(client):
    for path in ("/healthz", "/version", "/metrics"):
        assert (await client.get(path)).status_code == 200
    assert (await client.get("/readyz")).status_code == 503
    for path in ("/docs", "/openapi.json", "/debug/tasks", "/api/v1/bug", "/nothing", "/healthz/"):
        refused = await client.get(path)
        assert refused.status_code == 401, path
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"] == "Bearer"


async def test_a_known_token_opens_the_rest_and_roles_bind_per_namespace(client):
    assert (await client.get("/openapi.json", headers=bearer("admin-token"))).status_code == 200
    assert (await client.get("/docs", headers=bearer("nobody"))).status_code == 401
    allowed = await client.get("/api/v1/namespaces/shop/things", headers=bearer("team-token"))
    assert allowed.json() == {"user": "team"}
    refused = await client.get("/api/v1/namespaces/bank/things", headers=bearer("team-token"))
    assert refused.status_code == 403
    assert "team lacks the role viewer" in refused.json()["detail"]


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_every_error_code_is_a_problem_document(client, code):
    answer = await client.get(f"/api/v1/errors/{code.value}", headers=bearer("admin-token"))
    assert answer.status_code == HTTP_STATUS[code]
    assert answer.json()["code"] == code.value
    assert answer.json()["violations"] == [
        {"field": "spec.weight", "message": "must not be negative", "expected": "0 or more"}
    ]


async def test_bad_input_names_the_field_and_a_bug_tells_nothing(client):
    bad = await client.post("/api/v1/things", json={"weight": "heavy"}, headers=bearer("admin-token"))
    assert bad.status_code == 422
    assert bad.json()["violations"][0]["field"] == "body.weight"
    bug = await client.get("/api/v1/bug", headers=bearer("admin-token"))
    assert bug.status_code == 500
    assert "inside" not in bug.text
    missing = await client.get("/api/v1/nowhere", headers=bearer("admin-token"))
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")


async def test_a_body_over_the_limit_is_refused_declared_or_not(client):
    async def endless():
        for _ in range(20):
            yield b"x" * 100

    for body in (b"x" * 1001, endless()):
        answer = await client.post(
            "/api/v1/things", content=body, headers=bearer("admin-token") | {"content-type": "application/json"}
        )
        assert answer.status_code == 413


async def test_readiness_names_what_is_missing(tokens):
    readiness = Readiness()
    readiness.expect("feed")
    readiness.set("started", True)
    app = create_app("pilot", "1", readiness)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://pilot") as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["conditions"]["feed"] == {"ok": False, "detail": "waiting"}
        readiness.set("feed", True)
        assert (await client.get("/readyz")).status_code == 200


async def test_a_token_works_as_soon_as_the_file_has_it_and_a_broken_file_changes_nothing(tokens):
    authenticator = TokenAuthenticator(tokens)
    assert await authenticator.authenticate(Credentials(token="new-token")) is None
    entry = token_entry("new-token", "new", {"*": [Role.EDITOR]})
    part = tokens.with_name("part")
    part.write_text(json.dumps({"tokens": [entry]}))
    os.replace(part, tokens)
    caller = await authenticator.authenticate(Credentials(token="new-token"))
    assert caller is not None
    assert caller.allows(Role.VIEWER, "any")
    assert not caller.allows(Role.ADMIN, "any")
    part.write_text("{broken")
    os.replace(part, tokens)
    assert await authenticator.authenticate(Credentials(token="new-token")) == caller


async def test_a_service_is_known_by_certificate_but_not_with_a_bad_token_beside_it():
    authenticator = TokenAuthenticator(None, trust_domain="mesh.example")
    pilot = SpiffeId("mesh.example", "istio-system", "pilot")
    caller = await authenticator.authenticate(Credentials(peer=pilot))
    assert caller is not None
    assert caller.allows(Role.STATUS_WRITER)
    assert not caller.allows(Role.EDITOR)
    for other in (
        SpiffeId("mesh.example", "shop", "pilot"),
        SpiffeId("other.example", "istio-system", "pilot"),
        SpiffeId("mesh.example", "istio-system", "ingressgateway"),
    ):
        assert await authenticator.authenticate(Credentials(peer=other)) is None
    assert await authenticator.authenticate(Credentials(token="wrong", peer=pilot)) is None


def test_credentials_and_parse_errors_show_no_token():
    assert "secret-token" not in repr(Credentials(token="secret-token"))
    with pytest.raises(MeshError) as error:
        parse_tokens('{"tokens": [{"sha256": "secret-hash"}]}')
    assert "secret-hash" not in str(error.value)


def test_pages_follow_keys_not_offsets():
    first = page_of(["a", "b", "c", "d"], str, limit=2)
    assert first.items == ["a", "b"]
    assert page_of(["aa", "c", "d"], str, limit=2, after=first.continue_).items == ["c", "d"]
    assert page_of(["c"], str, after=first.continue_).continue_ is None
    with pytest.raises(MeshError):
        page_of(["c"], str, after="%%%")
