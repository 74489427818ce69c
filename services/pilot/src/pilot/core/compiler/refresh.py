"""The fast path: a set that was compiled before, with other endpoints and nothing else. Pure.

Endpoints also decide the identities in clusters, whether all of a passed-through service take mesh TLS, the names that
DNS clusters resolve, and where listeners of headless services bind. So the parts of each service whose endpoints
changed are built as they were and as they are, mostly from the memo; where anything but an assignment differs there is
no fast path, and the class is compiled whole. The result is the one that compiling gives (a property test holds this).
"""

from collections.abc import Hashable, Iterable
from dataclasses import fields

from meshcore.xds.resource import PackedResource, Resources, ResourceSet, replaced
from meshcore.xds.types import ENDPOINT_TYPE

from pilot.core.compiler.cache import CompileCache
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.parts import service_parts, what_counts
from pilot.core.differing import differing
from pilot.core.proxy import GRPC_GENERATOR, ProxyClass
from pilot.core.registry import Service, ServiceKey
from pilot.core.registry.kinds import DESCRIBING_KINDS
from pilot.core.snapshot import MeshSnapshot

_BOOKKEEPING = frozenset(
    {"revision", "key_counts", "metadata_counts", "place_counts", "hidden", "diagnostics", "registry", "selection"}
)
"""Parts of a snapshot that no compile looks at, and two of which `endpoints_alone_differ` looks at what counts. A part
that is named nowhere here counts as a whole."""
_BY_KIND = frozenset({"configs", "by_namespace"})


class Assignments:
    """All assignments as they are after a change, by what they were and what changes: one mapping for all classes that
    had one."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, ...], tuple[Resources, Resources, Resources]] = {}

    def replaced(self, old: Resources, changed: Resources) -> Resources:
        """See `replaced`."""
        key = (id(old), *map(id, changed.values()))
        if key not in self._made:  # what the key names is kept with it
            self._made[key] = (old, changed, replaced(old, changed))
        return self._made[key][2]


class _Step:
    """From one snapshot to the next, when only the endpoints of these services differ."""

    def __init__(
        self, before: MeshSnapshot, after: MeshSnapshot, changed: Iterable[ServiceKey], cache: CompileCache
    ) -> None:
        self._before, self._after, self._cache = before, after, cache
        self._changed = dict.fromkeys(sorted(changed))
        self._assignments = Assignments()
        self._found: dict[Hashable, Resources | None] = {}
        """By what counts of a service and a class."""

    def refreshed(self, made: ResourceSet, one: ProxyClass) -> ResourceSet | None:
        """What compiling the snapshot after gives for the class, from what compiling the one before gave: `made` itself
        when nothing of its changes; None when more than assignments may."""
        if one.generator == GRPC_GENERATOR and any(served.service in self._changed for served in one.served):
            return None  # a server speaks mTLS when its own endpoint says that it is in the mesh
        now = Compilation(self._after, one, self._cache)
        every: dict[str, PackedResource] = {}
        for key in self._changed:
            service = now.scope.by_host.get(key.host)
            if service is None or service.key != key:
                continue
            if service.headless:
                return None  # its endpoints may be addresses of listeners
            found = self._shared(now, service)
            if found is None:
                return None
            every.update(found)
        return made.with_type(ENDPOINT_TYPE, self._assignments.replaced(made.of_type(ENDPOINT_TYPE), every))

    def _shared(self, now: Compilation, service: Service) -> Resources | None:
        """The assignments of a service, found once for all classes for which the same counts: as nothing but endpoints
        differs, what counts after the step is what counted before it."""
        counts = what_counts(now, service)
        if counts is None:
            return self._assignments_of(now, service)
        if counts not in self._found:
            self._found[counts] = self._assignments_of(now, service)
        return self._found[counts]

    def _assignments_of(self, now: Compilation, service: Service) -> Resources | None:
        then = Compilation(self._before, now.proxy_class, self._cache)
        parts = service_parts(now, service)
        if not _same_but_assignments(service_parts(then, service), parts):
            return None
        assignments = (item.resource for item in parts if item.resource.type_url == ENDPOINT_TYPE)
        return {item.name: item for item in reversed(list(assignments))}  # of two of one name the first counts


class Refreshing:
    """Sets that were compiled before, with other endpoints, from the memos of a compiler; what changed between two
    snapshots is looked up once for all classes."""

    def __init__(self, cache: CompileCache) -> None:
        self._cache = cache
        self._seen: tuple[MeshSnapshot, MeshSnapshot, _Step | None] | None = None

    def __call__(
        self, before: MeshSnapshot, made: ResourceSet, after: MeshSnapshot, one: ProxyClass
    ) -> ResourceSet | None:
        """What compiling `after` for the class gives, from what compiling `before` gave; None where that takes a whole
        compile, as when more than endpoints changed."""
        seen = self._seen
        if seen is None or seen[0] is not before or seen[1] is not after:
            changed = endpoints_alone(before, after)
            step = None if changed is None else _Step(before, after, changed, self._cache)
            seen = self._seen = (before, after, step)
        return None if seen[2] is None else seen[2].refreshed(made, one)


def endpoints_alone(before: MeshSnapshot, after: MeshSnapshot) -> frozenset[ServiceKey] | None:
    """The services whose endpoints differ; None when anything else does that a compile looks at."""
    if not endpoints_alone_differ(before, after):
        return None
    return differing(before.registry.endpoints, after.registry.endpoints)


def endpoints_alone_differ(before: MeshSnapshot, after: MeshSnapshot) -> bool:
    """Whether nothing else differs that a compile looks at."""
    if before.selection.place_keys != after.selection.place_keys:
        return False
    if before.registry.by_host is not after.registry.by_host:
        return False
    for part in fields(MeshSnapshot):
        old, new = getattr(before, part.name), getattr(after, part.name)
        if part.name in _BOOKKEEPING or old is new:
            continue
        if part.name not in _BY_KIND or any(
            old.get(kind) is not new.get(kind) for kind in (old.keys() | new.keys()) - DESCRIBING_KINDS
        ):
            return False
    return True


def _same_but_assignments(before: Iterable[Compiled], after: Iterable[Compiled]) -> bool:
    then, now = list(before), list(after)
    return len(then) == len(now) and all(map(_is_unaffected, then, now))


def _is_unaffected(then: Compiled, now: Compiled) -> bool:
    if then is now:
        return True
    if (then.diagnostics, then.secrets) != (now.diagnostics, now.secrets):
        return False
    if now.resource.type_url == ENDPOINT_TYPE:
        return (then.resource.type_url, then.resource.name) == (now.resource.type_url, now.resource.name)
    return then.resource == now.resource and then.resource.origins == now.resource.origins
