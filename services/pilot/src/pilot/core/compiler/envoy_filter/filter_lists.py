"""Patches of lists of filters: of listeners, chains and connection managers. One set of rules for all three. Pure.

First what is added and replaced, then what is merged and removed (Istio's order). Nothing is put behind a filter that
ends the list: what would go there goes before it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from meshcore.model.envoy_filter import FilterClass, PatchOperation

from pilot.core.compiler.envoy_filter.acceptance import filter_fault, filters_fault, is_terminal
from pilot.core.compiler.envoy_filter.filter_matches import same_name
from pilot.core.compiler.envoy_filter.patches import PatchOf
from pilot.core.compiler.envoy_filter.work import Patching, merge_whole, position, refusal

_BEFORE = {
    FilterClass.AUTHN: frozenset(
        {"envoy.filters.http.rbac", "envoy.filters.network.rbac", "envoy.filters.http.grpc_stats"}
    ),
    FilterClass.AUTHZ: frozenset({"envoy.filters.http.grpc_stats"}),
    FilterClass.STATS: frozenset({"envoy.filters.http.grpc_stats"}),
}
"""What an added filter of a class stands before, where that is there."""


def patch_filters(
    patching: Patching, filters: Any, patches: Sequence[tuple[PatchOf, str]], *, ends: bool = True
) -> None:
    """Each patch comes with the name that it matches (empty: none); `ends` for lists with a terminal filter."""
    refuse = filters_fault if ends else _fine
    for patch, wanted in patches:
        if not patch.merges and patch.operation is not PatchOperation.REMOVE:
            _place(patching, filters, patch, wanted, refuse)
    for patch, wanted in patches:
        if patch.operation is PatchOperation.REMOVE:
            _remove(patching, filters, patch, wanted, refuse)
        elif patch.merges:
            for item in filters:
                if _means(patch, wanted, item):
                    patching.attempt(patch, item, merge_whole, filter_fault)


def _means(patch: PatchOf, wanted: str, item: Any) -> bool:
    if wanted:
        return same_name(wanted, item.name)
    if patch.value.name:
        return bool(patch.value.name == item.name)
    return bool(patch.value.typed_config.type_url == item.typed_config.type_url)


def _place(patching: Patching, filters: Any, patch: PatchOf, wanted: str, refuse: Callable[[Any], str]) -> None:
    index = _index(filters, patch, wanted)
    if index is None:
        return
    after = list(filters)
    if patch.operation is PatchOperation.REPLACE:
        after[index] = patch.value
    else:
        after.insert(index, patch.value)
    fault = (
        ("name must not be empty" if not patch.value.name else refusal(patch.value))
        or filter_fault(patch.value)
        or refuse(after)
    )
    if fault:
        patching.problems.append(patch.problem(patching.name, fault))
        return
    _take(patching, filters, after, patch)


def _index(filters: Any, patch: PatchOf, wanted: str) -> int | None:
    """Where the value goes; None when what it is to stand beside is not there."""
    found = position(filters, lambda item: same_name(wanted, item.name)) if wanted else None
    match patch.operation:
        case PatchOperation.INSERT_FIRST:
            return 0
        case PatchOperation.INSERT_BEFORE:
            return found if wanted else 0
        case PatchOperation.REPLACE:
            return found
        case PatchOperation.INSERT_AFTER if wanted:
            return None if found is None else found + 1
        case _:
            end = _end(filters)
            names = _BEFORE.get(patch.filter_class, frozenset())
            return next((index for index in range(end) if filters[index].name in names), end)


def _remove(patching: Patching, filters: Any, patch: PatchOf, wanted: str, refuse: Callable[[Any], str]) -> None:
    after = [item for item in filters if wanted and not same_name(wanted, item.name)]
    if len(after) == len(filters):
        return
    fault = refuse(after)
    if fault:
        patching.problems.append(patch.problem(patching.name, fault))
        return
    _take(patching, filters, after, patch)


def _take(patching: Patching, filters: Any, after: list[Any], patch: PatchOf) -> None:
    copies = []
    for item in after:
        copy = type(item)()
        copy.CopyFrom(item)
        copies.append(copy)
    del filters[:]
    filters.extend(copies)
    patching.applied(patch)


def _end(filters: Any) -> int:
    return len(filters) - 1 if filters and is_terminal(filters[-1]) else len(filters)


def _fine(_: Sequence[Any]) -> str:
    return ""
