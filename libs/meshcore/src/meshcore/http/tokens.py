"""Bearer tokens of people and services, from a file that holds only their hashes.

    {"tokens": [{"sha256": "<hex>", "user": "admin", "roles": {"*": ["admin"]}}]}

A token is 256 random bits, so its plain SHA-256 gives nothing away and the look-up by hash needs no slow comparison.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshcore.errors import ErrorCode, MeshError
from meshcore.http.callers import EVERY_NAMESPACE, Caller, Credentials, Role
from meshcore.identity import SpiffeId

CONTROL_PLANE = frozenset({"galley", "pilot", "citadel", "injector", "meshctl"})
"""Service accounts of the root namespace that `citadel init` gives a certificate. Others there are workloads."""

LOOK_EVERY = 1.0
"""Seconds between two looks at the tokens file while all tokens are known ones."""


def token_hash(token: str) -> str:
    """How a token is written in the tokens file."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_entry(token: str, user: str, roles: Mapping[str, list[Role]]) -> dict[str, Any]:
    """One entry of the tokens file."""
    return {
        "sha256": token_hash(token),
        "user": user,
        "roles": {namespace: [role.value for role in held] for namespace, held in roles.items()},
    }


def parse_tokens(text: str) -> dict[str, Caller]:
    """The callers of a tokens file by token hash; INVALID names what is wrong without quoting any of it."""
    try:
        return {
            entry["sha256"]: Caller(
                user=entry["user"],
                roles={
                    namespace: frozenset(Role(role) for role in roles) for namespace, roles in entry["roles"].items()
                },
            )
            for entry in json.loads(text)["tokens"]
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise MeshError(
            ErrorCode.INVALID, "the tokens file is not of the form that is written at first start"
        ) from None


def bearer_token(header: str | None) -> str | None:
    """The token of an `Authorization` header; the scheme is compared without case (RFC 9110 §11.1)."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class TokenAuthenticator:
    """Knows callers by bearer token, and the services of the control plane by client certificate.

    The file is read again when it changes, so that a token can be replaced without a restart: a new one is known at
    once, one that is gone for a second more. A broken new version is ignored: the callers of the last good one stay.
    """

    def __init__(
        self, path: Path | None, *, trust_domain: str | None = None, root_namespace: str = "istio-system"
    ) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._callers: dict[str, Caller] = {}
        self._trust_domain = trust_domain
        self._root_namespace = root_namespace
        self._looked = time.monotonic()
        if path is not None:
            self._callers = parse_tokens(path.read_text())
            self._stamp = self._read_stamp()

    async def authenticate(self, credentials: Credentials) -> Caller | None:
        """A known token wins; an unknown one proves nobody, even beside a client certificate."""
        if credentials.token is not None:
            wanted = token_hash(credentials.token)
            if wanted not in self._callers or time.monotonic() > self._looked + LOOK_EVERY:
                self._refresh()
            return self._callers.get(wanted)
        return self._of_certificate(credentials.peer)

    def _of_certificate(self, peer: SpiffeId | None) -> Caller | None:
        if peer is None or peer.trust_domain != self._trust_domain or peer.namespace != self._root_namespace:
            return None
        if peer.service_account not in CONTROL_PLANE:
            return None
        roles = {EVERY_NAMESPACE: frozenset({Role.VIEWER, Role.STATUS_WRITER})}
        return Caller(user=str(peer), roles=roles, identity=peer)

    def _read_stamp(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            found = os.stat(self._path)
        except OSError:
            return self._stamp
        return found.st_mtime_ns, found.st_ino

    def _refresh(self) -> None:
        self._looked = time.monotonic()
        stamp = self._read_stamp()
        if stamp == self._stamp or self._path is None:
            return
        try:
            self._callers = parse_tokens(self._path.read_text())
        except (OSError, MeshError):
            return
        self._stamp = stamp
