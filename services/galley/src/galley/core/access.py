"""Which role a request of the config API needs, and where.

Reads need a viewer, writes an editor, both in the object's namespace (of a Namespace: in that namespace to read it, in
every namespace to write it). A status is the status writers', workload tokens are the admins', and WorkloadEntries are
also the registrars', as Pilot writes one for each workload that registers.
"""

from dataclasses import dataclass

from meshcore.model.kinds import KindInfo

from galley.core.kube_api.paths import ResourcePath

VIEWER, EDITOR, ADMIN, STATUS_WRITER, REGISTRAR = "viewer", "editor", "admin", "status-writer", "registrar"


@dataclass(frozen=True, slots=True)
class Need:
    """A role in a namespace; None is every namespace."""

    role: str
    namespace: str | None


def need_of(method: str, path: ResourcePath, info: KindInfo) -> Need:
    """What the caller must be allowed."""
    reads = method in ("GET", "HEAD")
    own_name = path.name if reads and info.kind == "Namespace" else None
    namespace = path.namespace if info.namespaced else own_name
    if path.subresource == "token":
        return Need(ADMIN, namespace)
    if path.subresource == "status" and not reads:
        return Need(STATUS_WRITER, namespace)
    if info.kind == "WorkloadEntry" and not reads:
        return Need(REGISTRAR, namespace)
    return Need(VIEWER if reads else EDITOR, namespace)


def verb_of(method: str, path: ResourcePath) -> str:
    """The API server's word for what is done, for messages."""
    if method in ("GET", "HEAD"):
        return "get" if path.name else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method, method.lower())
