"""What is asked over the debug types of xDS, and who may ask it. Pure.

`istio.io/debug/syncz` and `istio.io/debug/config_dump` (whose name is a proxy) are Istio's own types; `istio.io/debug`
is any debug page, its path and query being the name of the one resource that is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId

DEBUG_TYPE = "istio.io/debug"
SYNC_TYPE = f"{DEBUG_TYPE}/syncz"
DUMP_TYPE = f"{DEBUG_TYPE}/config_dump"
PROXY = "proxyID"
NAMESPACE = "namespace"
OF_ONE_PROXY = frozenset({"config_dump", "edsz"})
"""Pages about one proxy: whoever is of its namespace may see them, as in Istio."""


@dataclass(frozen=True, slots=True)
class DebugQuestion:
    """One page with its parameters; `name` is that of the resource which the answer is."""

    type_url: str
    page: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


def parse_debug(type_url: str, names: tuple[str, ...]) -> DebugQuestion:
    """The question of a request; INVALID unless it names what its type needs."""
    if type_url == SYNC_TYPE:
        return DebugQuestion(type_url, "syncz")
    if type_url not in (DEBUG_TYPE, DUMP_TYPE):
        raise MeshError(ErrorCode.INVALID, f"there is no type {type_url[:100]}")
    if len(names) != 1:
        raise MeshError(ErrorCode.INVALID, f"{type_url} takes exactly one name, not {len(names)}")
    if type_url == DUMP_TYPE:
        return DebugQuestion(type_url, "config_dump", {PROXY: names[0]}, names[0])
    try:
        asked = urlsplit(names[0])
        parameters = dict(parse_qsl(asked.query, keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise MeshError(ErrorCode.INVALID, "the name is no path of a debug page") from None
    return DebugQuestion(type_url, asked.path.strip("/"), parameters, names[0])


def permitted(
    question: DebugQuestion, identity: SpiffeId | None, root_namespace: str, *, guarded: bool
) -> DebugQuestion:
    """The question as its client may ask it; UNAUTHENTICATED for a client without proof, PERMISSION_DENIED otherwise.

    The root namespace sees all, others what is of their own namespace. Without `guarded` everybody who is proven does.
    """
    if identity is None:
        raise MeshError(ErrorCode.UNAUTHENTICATED, "debug pages are for clients that prove who they are")
    if not guarded or identity.namespace == root_namespace:
        return question
    denied = MeshError(ErrorCode.PERMISSION_DENIED, f"the debug info is not available for current identity: {identity}")
    if question.page in OF_ONE_PROXY:
        if question.parameters.get(PROXY, "").endswith(f".{identity.namespace}"):
            return question
        raise denied
    if question.type_url == SYNC_TYPE:
        own = {**question.parameters, NAMESPACE: identity.namespace}
        return DebugQuestion(question.type_url, question.page, own, question.name)
    raise denied
