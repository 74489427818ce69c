"""What a kubeconfig says about the config API that it leads to. Pure."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshcore.errors import ErrorCode, MeshError


@dataclass(frozen=True, slots=True)
class Target:
    """A config API and how to enter it; the token is not shown."""

    server: str
    ca: str
    token: str = field(repr=False)
    namespace: str = "default"


def read_kubeconfig(document: Mapping[str, Any], source: str) -> Target:
    """The target of the current context. INVALID when it is not complete (only token users are understood)."""
    try:
        context = _named(document["contexts"], document["current-context"])["context"]
        cluster = _named(document["clusters"], context["cluster"])["cluster"]
        user = _named(document["users"], context["user"])["user"]
        ca = base64.b64decode(cluster["certificate-authority-data"], validate=True).decode()
        return Target(cluster["server"], ca, user["token"], context.get("namespace") or "default")
    except (KeyError, TypeError, StopIteration, binascii.Error, UnicodeDecodeError):
        detail = f"{source} has no current context with a server, its CA data and a token"
        raise MeshError(ErrorCode.INVALID, detail) from None


def _named(entries: Any, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(entry for entry in entries if entry["name"] == name)
    return found
