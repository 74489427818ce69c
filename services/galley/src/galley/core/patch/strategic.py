"""The part of Kubernetes' strategic merge patch that clients send for core kinds.

Maps merge and null deletes, as in a merge patch. A list with a merge key (`ports` of a Service by `port`) merges item
by item; every other list is replaced. The directives `$patch`, `$retainKeys`, `$setElementOrder/x` and
`$deleteFromPrimitiveList/x` are obeyed and never stored.
"""

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
        kept = set(_list_at(patch, _RETAIN, path))
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
            gone = _list_at(patch, key, path)
            result[field] = [item for item in result.get(field) or [] if item not in gone]


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
        result[key] = _merge_list(current or [], value, merge_keys, path)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        result[key] = [item for item in value if not (isinstance(item, Mapping) and _PATCH in item)]
    else:
        result[key] = value


def _merge_list(
    current: Sequence[Mapping[str, Any]], patch: Sequence[Any], merge_keys: MergeKeys, path: str
) -> list[dict[str, Any]]:
    merge_key = merge_keys[path]
    if any(isinstance(item, Mapping) and item.get(_PATCH) == "replace" for item in patch):
        return [dict(item) for item in patch if item.get(_PATCH) != "replace"]
    result = [dict(item) for item in current]
    for item in patch:
        if not isinstance(item, Mapping) or merge_key not in item:
            raise MeshError(
                ErrorCode.INVALID,
                f"the patch of {path} has an item without its merge key",
                [Violation(path, f"an item has no {merge_key!r}", f"{merge_key} in every item")],
            )
        at = next((index for index, have in enumerate(result) if have.get(merge_key) == item[merge_key]), None)
        merged = _merge_map(result[at] if at is not None else {}, item, merge_keys, f"{path}[]")
        if merged is None:
            if at is not None:
                del result[at]
        elif at is None:
            result.append(merged)
        else:
            result[at] = merged
    return _patched_first(result, patch, current, merge_key)


def _patched_first(
    merged: list[dict[str, Any]], patch: Sequence[Any], current: Sequence[Mapping[str, Any]], merge_key: str
) -> list[dict[str, Any]]:
    """Items of the patch in its order, before those others that did not stand in front of them already."""
    wanted = [item[merge_key] for item in patch]
    before = [item.get(merge_key) for item in current]
    others = [item for item in merged if item.get(merge_key) not in wanted]
    result = []
    for item in sorted(
        (item for item in merged if item.get(merge_key) in wanted), key=lambda one: wanted.index(one[merge_key])
    ):
        stood = before.index(item[merge_key]) if item[merge_key] in before else -1
        while others and before.index(others[0].get(merge_key)) < stood:
            result.append(others.pop(0))
        result.append(item)
    return [*result, *others]


def _reorder(result: dict[str, Any], field: str, order: Sequence[Any], merge_key: str | None) -> None:
    """Items named in `order` stand in that order, at the front; the others keep theirs, behind."""
    items = result.get(field)
    if not isinstance(items, list):
        return
    wanted = [item.get(merge_key) if isinstance(item, Mapping) and merge_key else item for item in order]

    def position(item: Any) -> int:
        key = item.get(merge_key) if isinstance(item, Mapping) and merge_key else item
        return wanted.index(key) if key in wanted else len(wanted)

    result[field] = sorted(items, key=position)


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
