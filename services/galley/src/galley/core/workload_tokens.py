"""Workload tokens: what a TokenRequest may ask, which claims the token gets, and the OIDC documents that verify it.

A token says `sub: system:serviceaccount:NAMESPACE:NAME`, as Kubernetes' own do. Signing is computation: the key, the
time and the token's id are arguments.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from meshcore.errors import ErrorCode, MeshError, Violation

from galley.core.times import time_text

DEFAULT_LIFE = timedelta(hours=1)
SHORTEST_LIFE = timedelta(minutes=10)
LONGEST_LIFE = timedelta(hours=24)
API_VERSION = "authentication.k8s.io/v1"
JWKS_PATH = "/openid/v1/jwks"
CONFIGURATION_PATH = "/.well-known/openid-configuration"


class SigningKey:
    """A private key that signs tokens; nothing of it can be printed."""

    def __init__(self, pem: bytes) -> None:
        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError) as error:
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "the token signing key is not a PEM private key") from error
        if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
            raise MeshError(ErrorCode.FAILED_PRECONDITION, "the token signing key is neither RSA nor EC")
        self._key = key
        self._public: EllipticCurvePublicKey | RSAPublicKey = key.public_key()
        self.algorithm = "RS256" if isinstance(key, RSAPrivateKey) else _EC_ALGORITHMS[key.curve.name]
        spki = self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.key_id = base64.urlsafe_b64encode(hashlib.sha256(spki).digest()).decode().rstrip("=")

    def __repr__(self) -> str:
        return f"SigningKey(key_id={self.key_id!r})"

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A signed JWT of these claims."""
        return jwt.encode(dict(claims), self._key, algorithm=self.algorithm, headers={"kid": self.key_id})

    def claims_of(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that this key has signed; None for any other. Times and audiences are not looked at."""
        unchecked = dict.fromkeys(
            ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub"), False
        )
        try:
            claims: dict[str, Any] = jwt.decode(token, self._public, [self.algorithm], options=unchecked)  # type: ignore[arg-type]
        except jwt.PyJWTError:
            return None
        return claims

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK set."""
        algorithm = RSAAlgorithm if isinstance(self._public, RSAPublicKey) else ECAlgorithm
        parameters: dict[str, Any] = algorithm.to_jwk(self._public, as_dict=True)  # type: ignore[call-overload]
        parameters.pop("key_ops", None)
        return {"keys": [{**parameters, "use": "sig", "kid": self.key_id, "alg": self.algorithm}]}


_EC_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """What a token is asked to be: for whom it is meant, and how long it lives."""

    audiences: tuple[str, ...]
    life: timedelta


def parse_token_spec(document: Mapping[str, Any], default_audience: str) -> TokenSpec:
    """Read the spec of a TokenRequest; INVALID with every violation. A life over the longest is shortened."""
    spec = document.get("spec") or {}
    violations: list[Violation] = []
    if not isinstance(spec, Mapping):
        raise MeshError(ErrorCode.INVALID, "the token request is not valid", [Violation("spec", "not an object")])
    audiences = spec.get("audiences") or [default_audience]
    if not isinstance(audiences, list) or not all(isinstance(item, str) and item for item in audiences):
        violations.append(Violation("spec.audiences", "not a list of names", "audiences such as istio-ca"))
        audiences = []
    seconds = spec.get("expirationSeconds")
    if seconds is None:
        seconds = int(DEFAULT_LIFE.total_seconds())
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        violations.append(Violation("spec.expirationSeconds", "not a whole number"))
        seconds = 0
    elif seconds < SHORTEST_LIFE.total_seconds():
        violations.append(Violation("spec.expirationSeconds", "may not specify a duration less than 10 minutes"))
    if spec.get("boundObjectRef"):
        violations.append(Violation("spec.boundObjectRef", "tokens that are bound to an object are not supported"))
    if violations:
        raise MeshError(ErrorCode.INVALID, "the token request is not valid", violations)
    return TokenSpec(tuple(audiences), min(timedelta(seconds=seconds), LONGEST_LIFE))


def token_claims(
    spec: TokenSpec, *, issuer: str, namespace: str, name: str, uid: str, now: datetime, token_id: str
) -> dict[str, Any]:
    """The claims of a token for a service account, as Kubernetes writes them."""
    issued = int(now.timestamp())
    return {
        "aud": list(spec.audiences),
        "exp": issued + int(spec.life.total_seconds()),
        "iat": issued,
        "iss": issuer,
        "jti": token_id,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        "nbf": issued,
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }


def token_reply(spec: TokenSpec, claims: Mapping[str, Any], token: str, now: datetime) -> dict[str, Any]:
    """The TokenRequest with its status filled in."""
    expires = now.replace(microsecond=0) + spec.life
    account = claims["kubernetes.io"]
    return {
        "kind": "TokenRequest",
        "apiVersion": API_VERSION,
        "metadata": {
            "name": account["serviceaccount"]["name"],
            "namespace": account["namespace"],
            "creationTimestamp": time_text(now),
        },
        "spec": {
            "audiences": list(spec.audiences),
            "expirationSeconds": int(spec.life.total_seconds()),
            "boundObjectRef": None,
        },
        "status": {"token": token, "expirationTimestamp": time_text(expires)},
    }


def openid_configuration(issuer: str, key: SigningKey) -> dict[str, Any]:
    """OpenID Connect discovery (section 4.2), as far as verifiers of tokens read it."""
    return {
        "issuer": issuer,
        "jwks_uri": issuer.rstrip("/") + JWKS_PATH,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [key.algorithm],
    }
