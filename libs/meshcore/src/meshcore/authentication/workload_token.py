"""Whether a workload token proves an identity. Pure: keys and time come in as arguments.

The token is a JWT of the config API (or of a Kubernetes API server): `sub` is
`system:serviceaccount:<namespace>:<name>`, and at least one of the accepted audiences is in `aud`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jwt

from meshcore.authentication.proven import ProvenIdentity, TokenRefused, Way
from meshcore.errors import MeshError
from meshcore.identity import SpiffeId

ALGORITHMS = ("ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "EdDSA")
"""Asymmetric only: with `HS256` a public key would pass for a shared secret."""
LARGEST_TOKEN = 16 * 1024
LEEWAY = 60
"""Seconds of clock difference that `nbf` and `iat` may show; an expired token is expired."""


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Whose tokens are taken, and for what."""

    issuer: str
    audiences: Collection[str]
    trust_domain: str


def key_id(token: str) -> str | None:
    """The `kid` that the token says it was signed with; TokenRefused when it is no JWT at all."""
    if len(token) > LARGEST_TOKEN:
        raise TokenRefused("the token is too large")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise TokenRefused("the token is not a JWT") from None
    found = header.get("kid")
    return found if isinstance(found, str) else None


def identity_of_token(token: str, keys: Mapping[str, jwt.PyJWK], rules: TokenRules, now: datetime) -> ProvenIdentity:
    """The identity that a token proves at `now`; TokenRefused says why it proves none."""
    found = keys.get(key_id(token) or "")
    if found is None:
        raise TokenRefused("the token was signed with an unknown key")
    claims = _verified_claims(token, found)
    ends = _checked_times(claims, now)
    if claims.get("iss") != rules.issuer:
        raise TokenRefused("the token is of another issuer")
    if not is_for(claims.get("aud", ()), rules.audiences):
        raise TokenRefused("the token is for another audience")
    return ProvenIdentity(service_account(claims.get("sub"), rules.trust_domain), Way.TOKEN, ends)


def is_for(audience: object, accepted: Collection[str]) -> bool:
    """Whether a token with this `aud` (RFC 7519 §4.1.3: one text, or a list of them) is for one of the accepted."""
    given = [audience] if isinstance(audience, str) else audience if isinstance(audience, list) else []
    return any(one in accepted for one in given)


def _verified_claims(token: str, key: jwt.PyJWK) -> dict[str, Any]:
    unchecked = dict.fromkeys(
        ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub"), False
    )
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=list(ALGORITHMS), options=unchecked)  # type: ignore[arg-type]
    except jwt.PyJWTError as error:
        raise TokenRefused(f"the token does not verify: {type(error).__name__}") from None
    return claims


def _checked_times(claims: Mapping[str, Any], now: datetime) -> datetime:
    moment = now.timestamp()
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or isinstance(expires, bool) or moment >= expires:
        raise TokenRefused("the token has expired, or never would")
    for name in ("nbf", "iat"):
        begins = claims.get(name, 0)
        if not isinstance(begins, int | float) or begins > moment + LEEWAY:
            raise TokenRefused(f"the token is not valid yet ({name})")
    try:
        return datetime.fromtimestamp(expires, UTC)
    except (ValueError, OverflowError):
        return datetime.max.replace(tzinfo=UTC)


def service_account(subject: object, trust_domain: str) -> SpiffeId:
    """The identity of a Kubernetes user name; TokenRefused unless it is a service account's."""
    parts = subject.split(":") if isinstance(subject, str) else []
    if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
        raise TokenRefused("the token's subject is not a service account")
    try:
        return SpiffeId(trust_domain, parts[2], parts[3])
    except MeshError:
        raise TokenRefused("the token's subject is not a service account") from None
