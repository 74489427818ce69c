"""URL paths of resources: `/api/v1/...` for the core group, `/apis/GROUP/VERSION/...` for all others."""

from dataclasses import dataclass

_OF_A_NAMESPACE = frozenset({"status", "finalize"})
"""Subresources of a Namespace itself, which look like a resource in it."""


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """What a path names: a collection (`name` is None), an object, or a subresource of it."""

    group: str
    version: str
    plural: str
    namespace: str | None = None
    name: str | None = None
    subresource: str | None = None

    @property
    def api_version(self) -> str:
        """`networking.istio.io/v1`, or `v1` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version


def parse_resource_path(path: str) -> ResourcePath | None:
    """The resource that a path names, None when it names none. Segments are taken as they are (already unquoted)."""
    segments = [segment for segment in path.split("/") if segment]
    if len(segments) >= 3 and segments[0] == "api":
        group, version, rest = "", segments[1], segments[2:]
    elif len(segments) >= 4 and segments[0] == "apis":
        group, version, rest = segments[1], segments[2], segments[3:]
    else:
        return None
    namespace = None
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in _OF_A_NAMESPACE):
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        return None
    name = rest[1] if len(rest) > 1 else None
    subresource = rest[2] if len(rest) > 2 else None
    return ResourcePath(group, version, rest[0], namespace, name, subresource)
