"""What patches add as whole resources: clusters, listeners and extension configs. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from meshcore.model.envoy_filter import ApplyTo, PatchOperation
from meshcore.xds.types import CLUSTER_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.envoy_filter.acceptance import cluster_fault, listener_fault
from pilot.core.compiler.envoy_filter.patches import Patches, PatchOf
from pilot.core.compiler.envoy_filter.work import refusal
from pilot.core.diagnostics import Diagnostic

_TYPES = {
    ApplyTo.CLUSTER: CLUSTER_TYPE,
    ApplyTo.LISTENER: LISTENER_TYPE,
    ApplyTo.EXTENSION_CONFIG: EXTENSION_CONFIG_TYPE,
}

_FAULTS: Mapping[str, Callable[[Any], str]] = {
    CLUSTER_TYPE: cluster_fault,
    LISTENER_TYPE: listener_fault,
    EXTENSION_CONFIG_TYPE: lambda _: "",
}


def added(work: Compilation, patches: Patches) -> tuple[tuple[PatchOf, Compiled], ...]:
    """One resource per ADD that Envoy would take, with its patch."""
    return _judged(work, patches)[0]


def refused(work: Compilation, patches: Patches) -> tuple[Diagnostic, ...]:
    """The others."""
    return _judged(work, patches)[1]


_Judged = tuple[tuple[tuple[PatchOf, Compiled], ...], tuple[Diagnostic, ...]]


def _judged(work: Compilation, patches: Patches) -> _Judged:
    return work.memo(("patch-additions", Same(patches)), lambda: _judge(patches))


def _judge(patches: Patches) -> _Judged:
    taken, problems = [], []
    for type_url, patch in _additions(patches):
        fault = (
            "name must not be empty" if not patch.value.name else refusal(patch.value) or _FAULTS[type_url](patch.value)
        )
        if fault:
            problems.append(patch.problem("the proxy", fault))
        else:
            taken.append((patch, packed(type_url, patch.value.name, patch.value, origins=(patch.ref,))))
    return tuple(taken), tuple(problems)


def _additions(patches: Patches) -> Iterator[tuple[str, PatchOf]]:
    for target, type_url in _TYPES.items():
        for patch in patches.by_target.get(target, ()):
            if patch.operation is PatchOperation.ADD:
                yield type_url, patch
