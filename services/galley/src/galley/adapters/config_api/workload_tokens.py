"""Workload tokens over HTTP: TokenRequest, and the OIDC documents by which others verify them."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from meshcore.distribution.keys import Key
from meshcore.errors import ErrorCode, MeshError
from meshcore.http import Caller, Role
from starlette.requests import Request
from starlette.responses import Response

from galley.adapters.config_api.calls import Backend, Call, encode, json_reply, read_body
from galley.core import token_review
from galley.core.kube_api import bodies, status
from galley.core.workload_tokens import (
    API_VERSION,
    CONFIGURATION_PATH,
    JWKS_PATH,
    SigningKey,
    openid_configuration,
    parse_token_spec,
    token_claims,
    token_reply,
)

_log = structlog.get_logger("workload-tokens")


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Who signs, under which name."""

    issuer: str
    key: SigningKey


def answer_discovery(request: Request, issuer: TokenIssuer) -> Response | None:
    """The OIDC documents, or None for any other path."""
    path = request.scope["path"]
    if path not in (CONFIGURATION_PATH, JWKS_PATH):
        return None
    if request.method not in ("GET", "HEAD"):
        raise status.method_not_allowed()
    if path == CONFIGURATION_PATH:
        response = json_reply(openid_configuration(issuer.issuer, issuer.key))
    else:
        response = Response(encode(issuer.key.jwks()), media_type="application/jwk-set+json")
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


async def review_token(request: Request, caller: Caller, backend: Backend, issuer: TokenIssuer) -> Response | None:
    """The TokenReview that was posted with its status (201), or None for any other path.

    Who may read everything may ask whose a token is. The token is in neither the answer nor the log.
    """
    if request.url.path.rstrip("/") != token_review.PATH:
        return None
    if request.method != "POST":
        raise status.method_not_allowed()
    if not caller.allows(Role.VIEWER):
        raise status.forbidden(caller.user, "create", None, "", None, "needs the role viewer")
    document = bodies.decode_object(request.headers.get("content-type", ""), await read_body(request)).document
    if not isinstance(document, Mapping) or document.get("kind", "TokenReview") != "TokenReview":
        raise status.bad_request("the body is not a TokenReview")
    found = token_review.review(document, issuer.key, issuer.issuer, backend.clock())
    if found is not None and not await _is_there(backend, found):
        found = None
    reply = {"kind": "TokenReview", "apiVersion": API_VERSION, "metadata": {"creationTimestamp": None}}
    return json_reply({**reply, "spec": {}, "status": token_review.status_of(found)}, 201)


async def _is_there(backend: Backend, found: token_review.Reviewed) -> bool:
    try:
        account = await backend.store.get(Key("", "serviceaccounts", found.namespace, found.name))
    except MeshError as error:
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        return False
    return bool(account.uid == found.uid)


async def create_token(call: Call, issuer: TokenIssuer) -> Response:
    """A token for a service account that exists; who asked for it is logged, the token is not."""
    raw = await call.body()
    content_type = call.request.headers.get("content-type", "")
    document = bodies.decode_object(content_type, raw).document if raw.strip() else {}
    if not isinstance(document, Mapping):
        raise status.bad_request("the body is not a TokenRequest")
    if document.get("kind", "TokenRequest") != "TokenRequest" or document.get("apiVersion", API_VERSION) != API_VERSION:
        raise status.bad_request(f"the body is not a TokenRequest of {API_VERSION}")
    spec = parse_token_spec(document, issuer.issuer)
    account = await call.backend.store.get(call.key(call.name))
    now = call.backend.clock()
    claims = token_claims(
        spec,
        issuer=issuer.issuer,
        namespace=account.key.namespace,
        name=account.key.name,
        uid=account.uid,
        now=now,
        token_id=str(uuid.uuid4()),
    )
    token = issuer.key.sign(claims)
    _log.info(
        "workload token issued",
        caller=call.caller.user,
        subject=claims["sub"],
        audiences=list(spec.audiences),
        token_id=claims["jti"],
    )
    return json_reply(token_reply(spec, claims, token, now), 201)
