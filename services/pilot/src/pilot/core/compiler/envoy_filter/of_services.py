"""What EnvoyFilters make of the clusters of all services, once for all classes that have the same of both. Pure."""

from dataclasses import dataclass
from functools import partial
from operator import is_

from meshcore.model.envoy_filter import ApplyTo
from meshcore.xds.types import CLUSTER_TYPE

from pilot.core.compiler.cache import Before
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.envoy_filter.clusters import patched_cluster
from pilot.core.compiler.envoy_filter.patches import Patches, patches_of
from pilot.core.compiler.parts import Part, Parts, named_by_type, part_of, renamed


@dataclass(frozen=True, eq=False)
class _PatchedParts(Parts):
    """Parts with patches, and which ones of which."""

    plain: Parts
    patches: Patches

    @property
    def made_of(self) -> tuple[object, ...]:
        """Who has the same shares it."""
        return self.plain, self.patches


def patched_parts(work: Compilation, parts: Parts) -> Parts:
    """The parts as the EnvoyFilters that count for this class make them; what no change concerns is taken over."""
    patches = patches_of(work)
    if ApplyTo.CLUSTER not in patches.by_target:
        return parts

    def build(before: Before) -> _PatchedParts:
        old = before.value if before is not None and before.value.patches is patches else None
        return work.alike("patched parts", (parts, patches), partial(_patched_parts, parts, patches, old))

    return work.newest("patched parts", (parts, patches), build)


def _patched_parts(parts: Parts, patches: Patches, old: _PatchedParts | None) -> _PatchedParts:
    kept = {} if old is None else dict(zip(map(id, old.plain.parts), old.parts, strict=True))
    made: list[Part] = []

    def part(plain: Part) -> Part:
        found = kept.get(id(plain))
        if found is None:
            found = _patched(plain, patches)
            made.append(found)
        return found

    every = tuple(map(part, parts.parts))
    named = named_by_type(every) if old is None else renamed(old, every, made)
    return _PatchedParts(parts.services, parts.rules, parts.endpoints, every, named, parts, patches)


def _patched(plain: Part, patches: Patches) -> Part:
    compiled = tuple(after for item in plain.compiled if (after := _one(item, patches)) is not None)
    unchanged = len(compiled) == len(plain.compiled) and all(map(is_, compiled, plain.compiled))
    return plain if unchanged else part_of(compiled)


def _one(item: Compiled, patches: Patches) -> Compiled | None:
    return patched_cluster(item, patches).compiled if item.resource.type_url == CLUSTER_TYPE else item
