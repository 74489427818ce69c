"""What Envoy's JWT filter makes of a request, for the simulator: the tokens are where it looks, and really verified."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from meshcore.xds import registry
from pilot.core.compiler.jwt_claims import JWT_FILTER

LEEWAY = 60
"""Seconds that Envoy adds to a token's times."""
_ALGORITHMS = {"RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "EC": ("ES256", "ES384", "ES512")}
_MISSED, _STRANGE, _BAD, _OTHER_AUDIENCE, _GOOD = "missed", "of an unknown issuer", "bad", "for others", "good"


@dataclass(frozen=True)
class Tokens:
    """`status` is 200 when the request goes on, with these claims; `headers` are those that the filter changes."""

    status: int = 200
    claims: Mapping[str, Any] = field(default_factory=dict)
    headers: frozenset[str] = frozenset()


def tokens_of(chain: Any, method: str, path: str, headers: Mapping[str, str]) -> Tokens:
    """What a filter chain says of the tokens of a request; header names are in lower case."""
    config = _config(chain)
    if config is None:
        return Tokens()
    changed = frozenset(_changed(config))
    if method == "OPTIONS" and headers.get("origin") and headers.get("access-control-request-method"):
        return Tokens(headers=changed)
    verdict, claims = _required(config, config.rules[0].requires, path, headers)
    status = {_GOOD: 200, _OTHER_AUDIENCE: 403}.get(verdict, 401)
    return Tokens(status, claims, changed)


def _config(chain: Any) -> Any:
    manager: Any = registry.unpack(chain.filters[-1].typed_config)
    if manager is None or manager.DESCRIPTOR.name != "HttpConnectionManager":
        return None
    found = [item for item in manager.http_filters if item.name == JWT_FILTER]
    return registry.unpack(found[0].typed_config) if found else None


def _changed(config: Any) -> Iterator[str]:
    for provider in config.providers.values():
        for name in (
            *(item.header_name.lower() for item in provider.claim_to_headers),
            provider.forward_payload_header.lower(),
        ):
            yield from (name, name.replace("-", "_"))
        yield from (item.name.lower() for item in provider.from_headers)
        yield "authorization"


def _required(config: Any, wanted: Any, path: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
    """The verdict of one requirement, and the claims of a good token."""
    kind = wanted.WhichOneof("requires_type")
    if kind == "provider_name":
        return _provider(config.providers[wanted.provider_name], path, headers)
    if kind == "requires_all":
        claims: Mapping[str, Any] = {}
        for item in wanted.requires_all.requirements:
            verdict, found = _required(config, item, path, headers)
            if verdict != _GOOD:
                return verdict, {}
            claims = found or claims
        return _GOOD, claims
    items = wanted.requires_any.requirements
    verdicts = [_required(config, item, path, headers) for item in items if not item.HasField("allow_missing")]
    for verdict, claims in verdicts:
        if verdict == _GOOD:
            return verdict, claims
    if any(item.HasField("allow_missing") for item in items):
        verdict, claims = _whoever_vouches(config, path, headers)
        if verdict in (_GOOD, _MISSED):
            return _GOOD, claims
    said = [verdict for verdict, _ in verdicts if verdict not in (_MISSED, _STRANGE)] or [verdicts[-1][0]]
    return said[-1], {}


def _whoever_vouches(config: Any, path: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
    """Every token must be good for one of the providers that look where it is."""
    places: dict[str, list[Any]] = {}
    for provider in config.providers.values():
        for token in _found(provider, path, headers):
            places.setdefault(token, []).append(provider)
    claims: Mapping[str, Any] = {}
    for token, providers in places.items():
        verdicts = [_verified(provider, token) for provider in providers]
        verdict, claims = next((one for one in verdicts if one[0] != _STRANGE), verdicts[-1])
        if verdict != _GOOD:
            return verdict, {}
    return (_GOOD, claims) if places else (_MISSED, {})


def _provider(provider: Any, path: str, headers: Mapping[str, str]) -> tuple[str, Mapping[str, Any]]:
    """Every token at its places must be good."""
    found = list(_found(provider, path, headers))
    claims: Mapping[str, Any] = {}
    for token in found:
        verdict, claims = _verified(provider, token)
        if verdict != _GOOD:
            return verdict, {}
    return (_GOOD, claims) if found else (_MISSED, {})


def _found(provider: Any, path: str, headers: Mapping[str, str]) -> Iterator[str]:
    own = provider.from_headers or provider.from_params or provider.from_cookies
    places = [(item.name.lower(), item.value_prefix) for item in provider.from_headers]
    for name, prefix in places if own else [("authorization", "Bearer ")]:
        value = headers.get(name, "")
        if value and prefix in value:
            yield value.partition(prefix)[2].strip() if prefix else value
    query = parse_qs(urlsplit(path).query)
    for name in provider.from_params if own else ["access_token"]:
        yield from query.get(name, [])[:1]
    cookies = SimpleCookie(headers.get("cookie", ""))
    for name in provider.from_cookies:
        if name in cookies:
            yield cookies[name].value


def _verified(provider: Any, token: str) -> tuple[str, Mapping[str, Any]]:
    try:
        head, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return _BAD, {}
    if provider.issuer and claims.get("iss") != provider.issuer:
        return _STRANGE, {}
    now = time.time()
    if now > claims.get("exp", now) + LEEWAY or now < claims.get("nbf", now) - LEEWAY:
        return _BAD, {}
    given = claims.get("aud", [])
    audiences = [given] if isinstance(given, str) else given
    if not isinstance(audiences, list) or not isinstance(claims.get("sub", ""), str):
        return _BAD, {}
    if provider.audiences and not set(audiences) & set(provider.audiences):
        return _OTHER_AUDIENCE, {}
    keys = json.loads(provider.local_jwks.inline_string)["keys"]
    if not any(_signed(token, head, key) for key in keys):
        return _BAD, {}
    listed = set(provider.normalize_payload_in_metadata.space_delimited_claims)
    texts = {name for name, value in claims.items() if name in listed and isinstance(value, str)}
    return _GOOD, {name: value.split(" ") if name in texts else value for name, value in claims.items()}


def _signed(token: str, head: Mapping[str, Any], key: Mapping[str, Any]) -> bool:
    algorithm = head.get("alg")
    if "kid" in head and "kid" in key and head["kid"] != key["kid"]:
        return False
    if algorithm not in _ALGORITHMS.get(key["kty"], ()) or key.get("alg", algorithm) != algorithm:
        return False
    only = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False, "verify_sub": False}
    try:
        jwt.decode(token, jwt.PyJWK(dict(key)).key, algorithms=[algorithm], options=only)
    except jwt.PyJWTError:
        return False
    return True
