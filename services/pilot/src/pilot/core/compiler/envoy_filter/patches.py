"""Which patches count for a class of proxies, read once and in their order. Pure.

By priority, the root namespace's EnvoyFilters before the workload's own, by age, then as they stand in the file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import re2
from meshcore.errors import ErrorCode, MeshError
from meshcore.model import EnvoyFilter
from meshcore.model.envoy_filter import (
    ApplyTo,
    ConfigObjectMatch,
    ConfigPatch,
    FilterClass,
    Patch,
    PatchContext,
    PatchOperation,
    ProxyMatch,
)
from meshcore.xds.fragment import read_fragment
from meshcore.xds.origin import ConfigRef

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.config import Config
from pilot.core.diagnostics import Diagnostic, Severity
from pilot.core.policy_target import is_target
from pilot.core.proxy import ProxyClass, ProxyType

_SIDES = frozenset({PatchContext.SIDECAR_INBOUND, PatchContext.SIDECAR_OUTBOUND})
_CONTEXTS = {
    ProxyType.SIDECAR: _SIDES | {PatchContext.ANY},
    ProxyType.ROUTER: frozenset({PatchContext.ANY, PatchContext.GATEWAY}),
    ProxyType.WAYPOINT: frozenset({PatchContext.WAYPOINT}),
}
_INSERTIONS = frozenset({PatchOperation.INSERT_BEFORE, PatchOperation.INSERT_AFTER, PatchOperation.INSERT_FIRST})
_INSERTED = frozenset({ApplyTo.LISTENER_FILTER, ApplyTo.NETWORK_FILTER, ApplyTo.HTTP_FILTER, ApplyTo.HTTP_ROUTE})
_REPLACED = frozenset({ApplyTo.NETWORK_FILTER, ApplyTo.HTTP_FILTER, ApplyTo.LISTENER_FILTER})


@dataclass(frozen=True, eq=False)
class PatchOf:
    """One patch; `config` and `index` say where it stands, `value` is the message that it brings (None: REMOVE)."""

    config: str
    ref: ConfigRef
    index: int
    apply_to: ApplyTo
    operation: PatchOperation
    match: ConfigObjectMatch
    value: Any
    filter_class: FilterClass

    @property
    def merges(self) -> bool:
        """Whether the value is laid over what is there."""
        return self.operation in (PatchOperation.MERGE, PatchOperation.MERGE_AND_REPLACE_LIST)

    @property
    def replaces_lists(self) -> bool:
        """Whether lists of the value stand in for those that are there."""
        return self.operation is PatchOperation.MERGE_AND_REPLACE_LIST

    def problem(self, where: str, reason: str) -> Diagnostic:
        """Why it changes nothing there."""
        text = f"configPatches[{self.index}] ({self.apply_to} {self.operation}) is not applied to {where}: {reason}."
        return Diagnostic("patch-not-applied", self.config, text, Severity.ERROR)


@dataclass(frozen=True, eq=False)
class Patches:
    """All patches of a class, by what they apply to; the same object while its EnvoyFilters stay, and for all classes
    for which the same count."""

    by_target: Mapping[ApplyTo, tuple[PatchOf, ...]]
    diagnostics: tuple[Diagnostic, ...] = ()
    made_of: tuple[object, ...] = ()

    def of(self, target: ApplyTo, context: PatchContext) -> Iterator[PatchOf]:
        """The patches for objects of one side of a sidecar; a gateway's objects have none."""
        for patch in self.by_target.get(target, ()):
            if patch.match.context not in _SIDES or patch.match.context is context:
                yield patch


_NONE = Patches({})


def patches_of(work: Compilation) -> Patches:
    """The patches that count for this class."""
    one, snapshot = work.proxy_class, work.snapshot
    root = snapshot.envoy_filters(work.mesh.root_namespace)
    own = snapshot.envoy_filters(one.namespace) if one.namespace != work.mesh.root_namespace else ()
    if not root and not own:
        return _NONE
    key = (
        "patches",
        work.mesh.root_namespace,
        one.type,
        one.namespace,
        one.labels,
        one.version,
        one.metadata,
        Same(root),
        Same(own),
    )
    return work.memo(key, lambda: _selected(work, (*root, *own)))


@dataclass(frozen=True)
class _Read:
    """An EnvoyFilter, read once for all classes."""

    patches: tuple[tuple[PatchOf, ProxyMatch | None], ...]
    diagnostics: tuple[Diagnostic, ...]


def _selected(work: Compilation, filters: tuple[Config[EnvoyFilter], ...]) -> Patches:
    one = work.proxy_class
    chosen = [config for config in filters if is_target(config.object, one, work.mesh.root_namespace)]
    chosen.sort(key=lambda config: config.object.spec.priority)  # stable: root namespace and age stay in order
    found: dict[ApplyTo, list[PatchOf]] = {}
    problems: list[Diagnostic] = []
    for config in chosen:
        read = work.memo(("envoy-filter", Same(config)), _Reading(config).read)
        problems += read.diagnostics
        for patch, proxy in read.patches:
            if patch.match.context in _CONTEXTS[one.type] and _matches(proxy, one):
                found.setdefault(patch.apply_to, []).append(patch)
    by_target = {target: tuple(found[target]) for target in ApplyTo if target in found}
    made_of = (*chain.from_iterable(by_target.values()), *problems)
    return work.alike("patches", made_of, lambda: Patches(by_target, tuple(problems), made_of))


def _matches(match: ProxyMatch | None, one: ProxyClass) -> bool:
    """`proxyVersion` is a regular expression that must match from the start; every key of `metadata` must be equal."""
    if match is None:
        return True
    if match.proxy_version and (not one.version or re2.match(match.proxy_version, one.version) is None):
        return False
    known = dict(one.metadata)
    return all(known.get(key) == value for key, value in match.metadata.items())


@dataclass(frozen=True)
class _Reading:
    config: Config[EnvoyFilter]

    def read(self) -> _Read:
        patches, problems = [], []
        for index, entry in enumerate(self.config.object.spec.config_patches):
            try:
                made = self._patch(index, entry)
            except MeshError as error:
                text = f"configPatches[{index}] ({entry.apply_to}) is not used: {error.detail}."
                problems.append(Diagnostic("patch-unreadable", self.config.path, text, Severity.ERROR))
                continue
            if made is not None:
                patches.append((made, entry.match.proxy if entry.match else None))
        return _Read(tuple(patches), tuple(problems))

    def _patch(self, index: int, entry: ConfigPatch) -> PatchOf | None:
        patch = entry.patch or Patch()
        operation = patch.operation
        if entry.apply_to is ApplyTo.INVALID or operation is PatchOperation.INVALID:
            return None
        if entry.apply_to is ApplyTo.BOOTSTRAP and operation is not PatchOperation.MERGE:
            raise MeshError(ErrorCode.INVALID, "a bootstrap can only be merged into")
        if operation in _INSERTIONS and entry.apply_to not in _INSERTED:
            operation = PatchOperation.ADD
        if operation is PatchOperation.REPLACE and entry.apply_to not in _REPLACED:
            operation = PatchOperation.MERGE
        value = None
        if operation is not PatchOperation.REMOVE:
            value = read_fragment(entry.apply_to, patch.value or {})
        match = entry.match or ConfigObjectMatch()
        config = self.config
        return PatchOf(config.path, config.ref, index, entry.apply_to, operation, match, value, patch.filter_class)
