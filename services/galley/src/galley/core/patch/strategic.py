"""The part of Kubernetes' strategic merge patch that clients send for core kinds.

Maps merge and null deletes, as in a merge patch. A list with a merge key (`ports` of a Service by `port`) merges item
by item; every other list is replaced. The directives `$patch`, `$retainKeys`, `$setElementOrder/x` and
`$deleteFromPrimitiveList/x` are obeyed and never stored.
"""

import json
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from meshcore.errors import ErrorCode, MeshError, Violation

MergeKeys = Mapping[str, str]
"""Field path (`spec.ports`) -> the key by which its items are told apart."""

_ORDER = "$setElementOrder/"
_DELETE_VALUES = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"
_PATCH = "$patch"


def apply_strategic_patch(target: Mapping[str, Any], patch: Mapping[str, Any], merge_keys: MergeKeys) -> dict[str, Any]:
    """The patched document; neither argument is changed. INVALID for a directive that cannot be obeyed."""
    merged = _merge_map(target, patch, merge_keys, "")
    return merged if merged is not None else {}


def _merge_map(
    target: Mapping[str, Any], patch: Mapping[str, Any], merge_keys: MergeKeys, path: str
) -> dict[str, Any] | None:
    """None when the patch deletes the whole map."""
    directive = patch.get(_PATCH)
    if directive == "delete":
        return None
    if directive == "replace":
        return {key: value for key, value in patch.items() if not key.startswith("$")}
    if directive not in (None, "merge"):
        raise _unknown_directive(path, str(directive))
    result = dict(target)
    if _RETAIN in patch:
        kept = {key for key in _list_at(patch, _RETAIN, path) if isinstance(key, str)}
        result = {key: value for key, value in result.items() if key in kept}
    _delete_values(result, patch, path)
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_field(result, key, value, merge_keys, f"{path}.{key}" if path else key)
    for key in patch:
        if key.startswith(_ORDER):
            field = key.removeprefix(_ORDER)
            _reorder(result, field, _list_at(patch, key, path), merge_keys.get(f"{path}.{field}" if path else field))
    return result


def _delete_values(result: dict[str, Any], patch: Mapping[str, Any], path: str) -> None:
    for key in patch:
        if key.startswith(_DELETE_VALUES):
            field = key.removeprefix(_DELETE_VALUES)
            gone = {_identity(item) for item in _list_at(patch, key, path)}
            if isinstance(current := result.get(field), list):
                result[field] = [item for item in current if _identity(item) not in gone]


def _merge_field(result: dict[str, Any], key: str, value: Any, merge_keys: MergeKeys, path: str) -> None:
    current = result.get(key)
    if value is None:
        result.pop(key, None)
    elif isinstance(value, Mapping):
        merged = _merge_map(current if isinstance(current, Mapping) else {}, value, merge_keys, path)
        if merged is None:
            result.pop(key, None)
        else:
            result[key] = merged
    elif isinstance(value, Sequence) and not isinstance(value, str) and path in merge_keys:
        result[key] = _merge_list(current if isinstance(current, list) else [], value, merge_keys, path)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        result[key] = [item for item in value if not (isinstance(item, Mapping) and _PATCH in item)]
    else:
        result[key] = value


def _merge_list(
    current: Sequence[Mapping[str, Any]], patch: Sequence[Any], merge_keys: MergeKeys, path: str
) -> list[dict[str, Any]]:
    merge_key = merge_keys[path]
    if any(_replaces(item) for item in patch):
        return [item for item in patch if not _replaces(item)]
    for item in patch:
        if not isinstance(item, Mapping) or item.get(merge_key) is None:
            raise MeshError(
                ErrorCode.INVALID,
                f"the patch of {path} has an item without its merge key",
                [Violation(path, f"an item has no {merge_key!r}", f"{merge_key} in every item")],
            )
    result: list[dict[str, Any] | None] = [dict(item) for item in current]
    places: dict[str, deque[int]] = {}
    for index, item in enumerate(current):
        places.setdefault(_identity(item.get(merge_key)), deque()).append(index)
    for item in patch:
        at = places.setdefault(_identity(item[merge_key]), deque())
        merged = _merge_map((result[at[0]] if at else None) or {}, item, merge_keys, f"{path}[]")
        if merged is None:
            if at:
                result[at.popleft()] = None
        elif at:
            result[at[0]] = merged
        else:
            at.append(len(result))
            result.append(merged)
    left = [item for item in result if item is not None]
    return _patched_first(left, patch, current, merge_key)


def _replaces(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get(_PATCH) == "replace"


def _patched_first(
    merged: list[dict[str, Any]], patch: Sequence[Any], current: Sequence[Mapping[str, Any]], merge_key: str
) -> list[dict[str, Any]]:
    """Items of the patch in its order, before those others that did not stand in front of them already."""
    wanted = _positions([item[merge_key] for item in patch])
    before = _positions([item.get(merge_key) for item in current])
    identities = [_identity(item.get(merge_key)) for item in merged]
    pairs = list(zip(identities, merged, strict=True))
    others = deque((before.get(identity, len(before)), item) for identity, item in pairs if identity not in wanted)
    patched = sorted((pair for pair in pairs if pair[0] in wanted), key=lambda pair: wanted[pair[0]])
    result = []
    for identity, item in patched:
        while others and others[0][0] < before.get(identity, -1):
            result.append(others.popleft()[1])
        result.append(item)
    return [*result, *(item for _, item in others)]


def _reorder(result: dict[str, Any], field: str, order: Sequence[Any], merge_key: str | None) -> None:
    """Items named in `order` stand in that order, at the front; the others keep theirs, behind."""
    items = result.get(field)
    if not isinstance(items, list):
        return

    def told_apart(item: Any) -> Any:
        return item.get(merge_key) if isinstance(item, Mapping) and merge_key else item

    wanted = _positions([told_apart(item) for item in order])
    result[field] = sorted(items, key=lambda item: wanted.get(_identity(told_apart(item)), len(wanted)))


def _positions(values: Sequence[Any]) -> dict[str, int]:
    """Where each value stands first."""
    found: dict[str, int] = {}
    for position, value in enumerate(values):
        found.setdefault(_identity(value), position)
    return found


def _identity(value: Any) -> str:
    """Equal for equal JSON values, and hashable for all of them."""
    return json.dumps(value, sort_keys=True)


def _list_at(patch: Mapping[str, Any], key: str, path: str) -> Sequence[Any]:
    value = patch[key]
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise MeshError(
            ErrorCode.INVALID, f"{key} is not a list", [Violation(f"{path}.{key}".lstrip("."), "not a list", "a list")]
        )
    return value


def _unknown_directive(path: str, directive: str) -> MeshError:
    return MeshError(
        ErrorCode.INVALID,
        f"unknown $patch directive {directive!r}",
        [Violation(path, f"unknown $patch directive {directive!r}", "delete, replace or merge")],
    )
