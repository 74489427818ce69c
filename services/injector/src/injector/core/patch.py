"""The JSONPatch (RFC 6902) that turns one pod into another. Pure.

Computed from the two documents alone, checked by applying it: an answer that would not give the injected pod is a
bug here, never a broken pod there.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch

Operation = Mapping[str, Any]


def json_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[Operation]:
    """The operations in order; empty when nothing changes."""
    patch = jsonpatch.make_patch(before, after)
    if not _same(patch.apply(before), after):
        # The library takes a short cut somewhere; replacing the top-level members is always right.
        return _whole_members(before, after)
    operations: list[Operation] = list(patch.patch)
    return operations


def _same(left: Any, right: Any) -> bool:
    # as JSON text: in Python 1 == True == 1.0, in JSON they differ
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _whole_members(before: Mapping[str, Any], after: Mapping[str, Any]) -> Sequence[Operation]:
    removed = [{"op": "remove", "path": _pointer(key)} for key in before if key not in after]
    changed = [
        {"op": "replace" if key in before else "add", "path": _pointer(key), "value": value}
        for key, value in after.items()
        if key not in before or not _same(before[key], value)
    ]
    return removed + changed


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")
