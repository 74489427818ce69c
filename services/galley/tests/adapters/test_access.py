"""Who may do what on the config API, and workload tokens."""

from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import pytest

WE = "/apis/networking.istio.io/v1/namespaces/shop/workloadentries"
VS = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
OBJECT = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "VirtualService",
    "metadata": {"name": "reviews"},
    "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews"}}]}]},
}
TOKEN = "/api/v1/namespaces/shop/serviceaccounts/default/token"
CONFIGURATION = "/.well-known/openid-configuration"
JWKS = "/openid/v1/jwks"


@pytest.fixture
async def shop(api: Any) -> Any:
    async with api.client() as client:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        assert (await client.post("/api/v1/namespaces", json=body)).status_code == 201
    return api


@pytest.mark.parametrize("user", [None, "stranger"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", VS),
        ("POST", VS),
        ("DELETE", f"{VS}/reviews"),
        ("GET", "/api"),
        ("GET", "/openapi/v2"),
        ("POST", TOKEN),
        ("GET", CONFIGURATION),
        ("GET", JWKS),
        ("GET", "/nothing"),
    ],
)
async def test_nothing_is_told_to_the_unknown(api: Any, user: str | None, method: str, path: str) -> None:
    async with api.client(user) as client:
        refused = await client.request(method, path)
        assert (refused.status_code, refused.json()["reason"]) == (401, "Unauthorized")
        assert refused.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version"])
async def test_health_and_version_are_open(api: Any, path: str) -> None:
    async with api.client(None) as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("user", "method", "path", "allowed"),
    [
        ("viewer", "GET", VS, True),
        ("viewer", "POST", VS, False),
        ("viewer", "DELETE", f"{VS}/reviews", False),
        ("viewer", "PUT", f"{VS}/reviews/status", False),
        ("editor", "GET", VS, True),
        ("editor", "POST", VS, True),
        ("editor", "GET", VS.replace("shop", "default"), False),
        ("editor", "POST", VS.replace("shop", "default"), False),
        ("editor", "GET", "/apis/networking.istio.io/v1/virtualservices", False),
        ("editor", "GET", "/api/v1/namespaces/shop", True),
        ("editor", "GET", "/api/v1/namespaces/default", False),
        ("editor", "POST", "/api/v1/namespaces", False),
        ("editor", "POST", TOKEN, False),
        ("status-writer", "GET", VS, False),
        ("status-writer", "POST", WE, False),
        ("registrar", "GET", VS, False),
        ("registrar", "GET", WE, False),
        ("registrar", "POST", VS, False),
        ("registrar", "POST", WE, True),
        ("registrar", "DELETE", f"{WE}/reviews-1", True),
        ("registrar", "PUT", f"{WE}/reviews-1/status", False),
        ("editor", "POST", WE, True),
        ("viewer", "POST", WE, False),
        ("nobody", "GET", VS, False),
        ("nobody", "GET", "/apis", True),
        ("nobody", "GET", JWKS, True),
        ("admin", "POST", TOKEN, True),
    ],
)
async def test_roles(shop: Any, user: str, method: str, path: str, *, allowed: bool) -> None:
    async with shop.client(user) as client:
        response: httpx.Response = await client.request(method, path, json=OBJECT if path == VS else None)
        assert (response.status_code == 403) is not allowed, response.text
        if not allowed:
            assert response.json()["reason"] == "Forbidden"
            assert user in response.json()["message"]


async def test_services_of_the_control_plane_are_known_by_their_certificates(shop: Any) -> None:
    citadel = shop.ca.issue("spiffe://cluster.local/ns/istio-system/sa/citadel")
    async with shop.client(None, citadel) as client:
        assert (await client.get(JWKS)).status_code == 200
        assert (await client.get(VS)).status_code == 200
        assert (await client.post(VS, json=OBJECT)).status_code == 403


@pytest.mark.parametrize(
    "spiffe", ["spiffe://cluster.local/ns/shop/sa/default", "spiffe://elsewhere/ns/istio-system/sa/citadel", None]
)
async def test_other_certificates_prove_nobody(shop: Any, spiffe: str | None) -> None:
    async with shop.client(None, shop.ca.issue(spiffe)) as client:
        assert (await client.get(JWKS)).status_code == 401


async def test_writes_land_in_the_audit_log_with_their_author(shop: Any) -> None:
    async with shop.client("editor") as client:
        await client.post(VS, json=OBJECT)
        await client.post(VS, json=OBJECT)
    refused, committed = (await shop.store.audit())[:2]
    assert (refused.author, refused.outcome, refused.revision) == ("editor", "already-exists", None)
    assert (committed.author, committed.outcome) == ("editor", "committed")
    assert committed.operations == ({"verb": "create", "key": "networking=2Eistio=2Eio.virtualservices.shop.reviews"},)


async def test_workload_token_verifies_by_discovery(shop: Any) -> None:
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": ["istio-ca"], "expirationSeconds": 3600},
    }
    async with shop.client() as client:
        made = await client.post(TOKEN, json=request)
        assert made.status_code == 201
        body = made.json()
        configuration = (await client.get(CONFIGURATION)).json()
        keys = jwt.PyJWKSet.from_dict((await client.get(JWKS)).json())
        account = (await client.get(TOKEN.removesuffix("/token"))).json()
    assert configuration["jwks_uri"] == f"{configuration['issuer']}{JWKS}"
    token = body["status"]["token"]
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token, key, configuration["id_token_signing_alg_values_supported"], audience="istio-ca", issuer=shop.issuer
    )
    assert claims["sub"] == "system:serviceaccount:shop:default"
    assert claims["kubernetes.io"] == {
        "namespace": "shop",
        "serviceaccount": {"name": "default", "uid": account["metadata"]["uid"]},
    }
    assert claims["exp"] - claims["iat"] == 3600
    assert datetime.fromisoformat(body["status"]["expirationTimestamp"]) == datetime.fromtimestamp(claims["exp"], UTC)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"expirationSeconds": 5}, "spec.expirationSeconds"),
        ({"expirationSeconds": "long"}, "spec.expirationSeconds"),
        ({"audiences": "istio-ca"}, "spec.audiences"),
        ({"boundObjectRef": {"kind": "Pod"}}, "spec.boundObjectRef"),
    ],
)
async def test_wrong_token_request_is_refused(shop: Any, spec: dict[str, Any], field: str) -> None:
    async with shop.client() as client:
        refused = await client.post(TOKEN, json={"spec": spec})
        assert refused.status_code == 422
        assert refused.json()["details"]["causes"][0]["field"] == field


async def test_token_of_an_absent_account_is_not_found(shop: Any) -> None:
    async with shop.client() as client:
        assert (await client.post(TOKEN.replace("default", "absent"), json={})).status_code == 404
        assert (await client.get(TOKEN)).status_code == 405


async def test_callers_are_told_who_they_are_and_what_they_may(shop: Any) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    attributes = {"verb": "create", "group": "networking.istio.io", "resource": "virtualservices"}
    async with shop.client("editor") as client:
        for namespace, allowed in (("shop", True), ("default", False)):
            body = {"spec": {"resourceAttributes": {**attributes, "namespace": namespace}}}
            response = await client.post(path, json=body)
            assert (response.status_code, response.json()["status"]["allowed"]) == (201, allowed)
        who = (await client.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={})).json()
        assert who["status"]["userInfo"]["username"] == "editor"
        assert (await client.get(path)).status_code == 405
        assert (await client.post(path, json=[])).status_code == 400
    async with shop.client(None) as nobody:
        assert (await nobody.post(path, json={})).status_code == 401


REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


async def reviewed(api: Any, token: Any, *audiences: str, user: str = "admin") -> httpx.Response:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    async with api.client(user) as client:
        return await client.post(REVIEWS, json=body | {"spec": {"token": token, "audiences": list(audiences)}})


async def workload_token(api: Any) -> str:
    async with api.client() as client:
        made = await client.post(TOKEN, json={"spec": {"audiences": ["istio-ca", "other"]}})
        return str(made.json()["status"]["token"])


async def test_a_review_says_whose_a_token_is(shop: Any) -> None:
    answer = await reviewed(shop, await workload_token(shop), "istio-ca", "more")
    assert answer.status_code == 201
    found = answer.json()["status"]
    assert (found["authenticated"], found["audiences"]) == (True, ["istio-ca"])
    assert found["user"]["username"] == "system:serviceaccount:shop:default"
    assert "system:serviceaccounts" in found["user"]["groups"]
    assert "spec" not in answer.json() or "token" not in answer.json()["spec"]


async def test_a_token_that_is_not_good_here_is_nobodys(shop: Any) -> None:
    token = await workload_token(shop)
    stranger = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "x" * 32, "HS256")
    for one in (token[:-6] + "AAAAAA", stranger, "rubbish", "x" * 20_000):
        assert (await reviewed(shop, one, "istio-ca")).json()["status"]["authenticated"] is False
    assert (await reviewed(shop, token, "elsewhere")).json()["status"]["authenticated"] is False
    assert (await reviewed(shop, token)).json()["status"]["authenticated"] is False  # not for Galley itself
    async with shop.client() as client:
        assert (await client.delete("/api/v1/namespaces/shop/serviceaccounts/default")).is_success
    assert (await reviewed(shop, token, "istio-ca")).json()["status"]["authenticated"] is False


async def test_who_may_ask_and_how(shop: Any) -> None:
    assert (await reviewed(shop, "x", user="nobody-in-particular")).status_code in (401, 403)
    assert (await reviewed(shop, "")).status_code == 400
    assert (await reviewed(shop, 7)).status_code == 400
    async with shop.client() as client:
        assert (await client.get(REVIEWS)).status_code == 405
