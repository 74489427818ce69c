"""JSON Web Keys (RFC 7517, 7518): whether a text is one or a set of them, and whether it gives a secret away."""

import json
import re
from typing import Any

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_NEEDED = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "oct": ("k",)}


def jwks_fault(text: str) -> str | None:
    """What is wrong with it, or None."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return "the keys are not JSON"
    if not isinstance(document, dict):
        return "the keys are not a JSON object"
    if "keys" in document and not isinstance(document["keys"], list):
        return "'keys' is not a list"
    for index, key in enumerate(_keys(document)):
        if fault := _key_fault(key):
            return f"key {index + 1}: {fault}"
    return None


def has_private_keys(text: str) -> bool:
    """Whether any key of a well-formed text is private or symmetric."""
    return any(key.get("kty") == "oct" or "d" in key for key in _keys(json.loads(text)))


def _keys(document: dict[str, Any]) -> list[Any]:
    return list(document["keys"]) if "keys" in document else [document]


def _key_fault(key: Any) -> str | None:
    if not isinstance(key, dict):
        return "not a JSON object"
    kind = key.get("kty")
    if not isinstance(kind, str) or kind not in _NEEDED:
        return f"unknown key type {kind!r}"
    for name in _NEEDED[kind]:
        value = key.get(name)
        if not isinstance(value, str) or (name != "crv" and not _BASE64URL.fullmatch(value)):
            return f"{name!r} of the {kind} key is missing or not base64url"
    return None
