"""One resource under patches: what came of it, and the guard against what Envoy would refuse. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf import message
from meshcore.errors import MeshError
from meshcore.xds.constraints import violations
from meshcore.xds.merging import merge
from meshcore.xds.origin import ConfigRef

from pilot.core.compiler.context import Compiled
from pilot.core.compiler.envoy_filter.patches import PatchOf
from pilot.core.compiler.repacking import repacked
from pilot.core.diagnostics import Diagnostic

Change = Callable[[Any, PatchOf], None]
"""What a patch does to a part."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a resource; None when a patch removed it."""

    compiled: Compiled | None


@dataclass
class Patching:
    """One resource in the making; `name` is how problems call it."""

    name: str
    refs: list[ConfigRef] = field(default_factory=list)
    """The EnvoyFilters that changed it."""
    problems: list[Diagnostic] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether any patch acted."""
        return bool(self.refs)

    def applied(self, patch: PatchOf) -> None:
        """Take note that a patch acted."""
        self.refs.append(patch.ref)

    def take(self, inner: "Patching") -> None:
        """Take over what happened inside a part."""
        self.refs += inner.refs
        self.problems += inner.problems

    def attempt(self, patch: PatchOf, part: Any, change: Change, refuse: Callable[[Any], str] | None = None) -> None:
        """Let `change` work on a copy of a part; take it over unless Envoy or `refuse` (which says why) would not."""
        trial = type(part)()
        trial.CopyFrom(part)
        try:
            change(trial, patch)
        except MeshError as error:
            self.problems.append(patch.problem(self.name, error.detail))
            return
        fault = refusal(trial) or (refuse(trial) if refuse is not None else "")
        if fault:
            self.problems.append(patch.problem(self.name, fault))
            return
        part.CopyFrom(trial)
        self.applied(patch)

    def finished(self, item: Compiled, parsed: Any) -> Outcome:
        """The resource as it is now, the EnvoyFilters among the objects that made it."""
        if not self.changed and not self.problems:
            return Outcome(item)
        problems = (*item.diagnostics, *dict.fromkeys(self.problems))
        if not self.changed:
            return Outcome(replace(item, diagnostics=problems))
        return Outcome(repacked(item, parsed, self.refs, problems))


def merge_named(part: Any, patch: PatchOf) -> None:
    """Merge; the name is what others know a listener, chain or virtual host by: it stays unless there is none."""
    name = part.name
    merge(part, patch.value, replace_lists=patch.replaces_lists)
    if name:
        part.name = name


def merge_whole(part: Any, patch: PatchOf) -> None:
    """Merge; filters and routes may be given another name."""
    merge(part, patch.value, replace_lists=patch.replaces_lists)


def refusal(part: message.Message) -> str:
    """The first of Envoy's constraints that is broken; empty when there is none."""
    return next(violations(part), "")


def position(items: Any, matches: Callable[[Any], bool]) -> int | None:
    """The index of the first item that matches."""
    return next((index for index, item in enumerate(items) if matches(item)), None)
