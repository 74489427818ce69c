"""Workload tokens over HTTP: TokenRequest, and the OIDC documents by which others verify them."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.responses import Response

from galley.adapters.config_api.calls import Call, encode, json_reply
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
