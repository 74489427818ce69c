"""Who calls an HTTP interface and what they may do. Pure.

Roles are per namespace (`*` is every namespace): a viewer reads, an editor also writes config, an admin does all, a
status writer only reports status, and a registrar only writes WorkloadEntries.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId

EVERY_NAMESPACE = "*"
PEER_EXTENSION = "meshcore.peer"
"""Key in the ASGI scope's `extensions` under which the server puts the DER of a verified client certificate."""


class Role(StrEnum):
    """What a caller may do in a namespace."""

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"
    STATUS_WRITER = "status-writer"
    REGISTRAR = "registrar"


_INCLUDES: Mapping[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.EDITOR: frozenset({Role.VIEWER, Role.EDITOR, Role.REGISTRAR}),
    Role.ADMIN: frozenset(Role),
    Role.STATUS_WRITER: frozenset({Role.STATUS_WRITER}),
    Role.REGISTRAR: frozenset({Role.REGISTRAR}),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller: its name for the audit log, its roles by namespace, its identity."""

    user: str
    roles: Mapping[str, frozenset[Role]] = field(default_factory=dict)
    identity: SpiffeId | None = None
    """From the client certificate, when there was one."""

    def allows(self, role: Role, namespace: str | None = None) -> bool:
        """Whether the caller has `role` in `namespace`; None asks for it in every namespace."""
        held = self.roles.get(EVERY_NAMESPACE, frozenset())
        if namespace is not None:
            held = held | self.roles.get(namespace, frozenset())
        return any(role in _INCLUDES[one] for one in held)

    def require(self, role: Role, namespace: str | None = None) -> None:
        """Raise PERMISSION_DENIED unless the caller has `role` in `namespace`."""
        if not self.allows(role, namespace):
            where = f"namespace {namespace}" if namespace else "every namespace"
            raise MeshError(ErrorCode.PERMISSION_DENIED, f"{self.user} lacks the role {role.value} in {where}")

    def namespaces(self, role: Role) -> frozenset[str] | None:
        """The namespaces in which the caller has `role`; None means all of them."""
        if self.allows(role):
            return None
        return frozenset(name for name in self.roles if self.allows(role, name))


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request brought: the bearer token (never shown) and the identity of a verified client certificate."""

    token: str | None = field(default=None, repr=False)
    peer: SpiffeId | None = None


class Authenticator(Protocol):
    """Decides who a caller is."""

    async def authenticate(self, credentials: Credentials) -> Caller | None:
        """The caller, or None when the credentials prove nobody."""
        ...
