"""Which JSON Web Keys (RFC 7517, 7518, 8037) Envoy verifies tokens with. Pure.

Envoy refuses a whole listener when no key of a set is one for it, so none but such keys are ever sent.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

SIGNING = frozenset({"RSA", "EC", "OKP"})
"""Kinds of which a key has a public part."""
_TEXT = re.compile(r"[A-Za-z0-9_-]+")
_CURVES: Mapping[str, tuple[ec.EllipticCurve, str]] = {
    "P-256": (ec.SECP256R1(), "ES256"),
    "P-384": (ec.SECP384R1(), "ES384"),
    "P-521": (ec.SECP521R1(), "ES512"),
}
_RSA_BITS = range(1024, 16385)
_EXPONENT_BITS = 33
_ED25519_BYTES = 32


def is_usable(key: Any) -> bool:
    """Whether Envoy takes it: a known kind, whole, on its curve, and no `alg` that contradicts it."""
    if not isinstance(key, Mapping):
        return False
    check = {"RSA": _is_rsa, "EC": _is_ec, "OKP": _is_ed25519, "oct": _is_secret}.get(str(key.get("kty")))
    return check is not None and check(key)


def _is_rsa(key: Mapping[str, Any]) -> bool:
    modulus, exponent = _number(key.get("n")), _number(key.get("e"))
    return (
        modulus.bit_length() in _RSA_BITS
        and modulus % 2 == 1
        and exponent % 2 == 1
        and exponent > 1
        and exponent.bit_length() <= _EXPONENT_BITS
        and _fits(key, "RS", "PS")
    )


def _is_ec(key: Mapping[str, Any]) -> bool:
    found = _CURVES.get(str(key.get("crv")))
    if found is None or not _fits(key, found[1]):
        return False
    try:
        ec.EllipticCurvePublicNumbers(_number(key.get("x")), _number(key.get("y")), found[0]).public_key()
    except ValueError:
        return False
    return True


def _is_ed25519(key: Mapping[str, Any]) -> bool:
    return key.get("crv") == "Ed25519" and len(_bytes(key.get("x"))) == _ED25519_BYTES and _fits(key, "EdDSA")


def _is_secret(key: Mapping[str, Any]) -> bool:
    return bool(_bytes(key.get("k"))) and _fits(key, "HS")


def _fits(key: Mapping[str, Any], *beginnings: str) -> bool:
    algorithm = key.get("alg")
    return not isinstance(algorithm, str) or algorithm.startswith(beginnings)


def _number(value: Any) -> int:
    return int.from_bytes(_bytes(value))


def _bytes(value: Any) -> bytes:
    """Base64url without padding, as the RFC has it; nothing when it is not."""
    if not isinstance(value, str) or not _TEXT.fullmatch(value):
        return b""
    try:
        return urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except ValueError:
        return b""
