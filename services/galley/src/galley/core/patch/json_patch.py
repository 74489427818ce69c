"""JSON patch (RFC 6902) over JSON pointers (RFC 6901): all operations, or none."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from meshcore.errors import ErrorCode, MeshError


def apply_json_patch(document: Any, operations: Sequence[Any]) -> Any:
    """The patched document; INVALID when an operation cannot be done or a `test` fails."""
    result = copy.deepcopy(document)
    for operation in operations:
        if not isinstance(operation, Mapping):
            raise _impossible("an operation is not an object")
        try:
            result = _apply(result, operation)
        except RecursionError:  # copies of what is nested into itself
            raise _impossible("it nests values too deeply") from None
    return result


def _apply(document: Any, operation: Mapping[str, Any]) -> Any:
    op, path = operation.get("op"), _pointer(operation.get("path"))
    if op in ("add", "replace", "test"):
        if "value" not in operation:
            raise _impossible(f"{op} without a value")
        value = copy.deepcopy(operation["value"])
        if op == "test":
            if _get(document, path) != value:
                raise _impossible(f"the test of {operation['path']} failed")
            return document
        if op == "replace":
            _get(document, path)
            return _set(document, path, value, insert=False)
        return _set(document, path, value, insert=True)
    if op == "remove":
        return _remove(document, path)
    if op in ("move", "copy"):
        source = _pointer(operation.get("from"))
        value = copy.deepcopy(_get(document, source))
        if op == "move":
            if path[: len(source)] == source and path != source:
                raise _impossible("a value cannot be moved into itself")
            document = _remove(document, source)
        return _set(document, path, value, insert=True)
    raise _impossible(f"unknown operation {op!r}")


def _pointer(text: object) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _impossible(f"{text!r} is not a JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _get(document: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(document, Mapping) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(part, len(document) - 1)]
        else:
            raise _impossible(f"there is no {'/' + '/'.join(path)}")
    return document


def _set(document: Any, path: Sequence[str], value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list) and insert:
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    elif isinstance(parent, list):
        parent[_index(last, len(parent) - 1)] = value
    else:
        raise _impossible(f"there is no {'/' + '/'.join(path)}")
    return document


def _remove(document: Any, path: Sequence[str]) -> Any:
    if not path:
        raise _impossible("the whole document cannot be removed")
    _get(document, path)
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(last, len(parent) - 1)]
    else:
        del parent[last]
    return document


def _index(text: str, highest: int) -> int:
    if not text.isdecimal() or (len(text) > 1 and text[0] == "0") or int(text) > highest:
        raise _impossible(f"{text!r} is not an index of that list")
    return int(text)


def _impossible(why: str) -> MeshError:
    return MeshError(ErrorCode.INVALID, f"the JSON patch cannot be applied: {why}")
