"""JSON patch (RFC 6902) over JSON pointers (RFC 6901): all operations, or none.

Operations multiply: a list that is copied into itself doubles each time. So they are bounded as in the Kubernetes API,
in number and in what copies may add, and so is what shifting the items of long lists may cost.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from meshcore.errors import ErrorCode, MeshError

MOST_OPERATIONS = 10_000
MOST_COPIED = 3 * 1024 * 1024
"""Bytes of JSON that all copies of one patch may add together: as many as a request may have."""
_MOST_SHIFTED = 200_000_000
"""Items that may move up or down in their lists: 10,000 operations at the front of lists of 20,000."""
_LONGEST_INDEX = 9
_SHOWN = 100


def apply_json_patch(document: Any, operations: Sequence[Any]) -> Any:
    """The patched document; INVALID when an operation cannot be done, a `test` fails or the copies add too much,
    TOO_LARGE when there are too many operations."""
    if len(operations) > MOST_OPERATIONS:
        raise MeshError(
            ErrorCode.TOO_LARGE,
            f"Request entity is too large: The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, "
            f"got {len(operations)}",
        )
    work = _Work(_copied(document))
    for number, operation in enumerate(operations, 1):
        try:
            work.apply(operation)
        except _ImpossibleError as error:
            why = str(error)
        except RecursionError:  # copies of what is nested into itself
            why = "it nests values too deeply"
        else:
            continue
        raise MeshError(ErrorCode.INVALID, f"the JSON patch cannot be applied: {_named(number, operation)}: {why}")
    return work.document


class _ImpossibleError(Exception):
    """Why an operation cannot be done."""


class _Work:
    """The document between two operations, and what they have cost."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._bytes_copied = 0
        self._items_shifted = 0

    def apply(self, operation: Any) -> None:
        """Do one operation."""
        if not isinstance(operation, Mapping):
            raise _ImpossibleError("an operation is not an object")
        op, path = operation.get("op"), _pointer(operation.get("path"))
        if op in ("add", "replace", "test"):
            if "value" not in operation:
                raise _ImpossibleError(f"{op} without a value")
            self._with_value(op, path, operation["value"])
        elif op == "remove":
            self._remove(path)
        elif op == "copy":
            self._set(path, self._copy(_get(self.document, _pointer(operation.get("from")))), insert=True)
        elif op == "move":
            source = _pointer(operation.get("from"))
            value = _get(self.document, source)
            if path[: len(source)] == source and path != source:
                raise _ImpossibleError("a value cannot be moved into itself")
            self._remove(source)
            self._set(path, value, insert=True)
        else:
            raise _ImpossibleError(f"unknown operation {str(op)[:_SHOWN]!r}")

    def _with_value(self, op: str, path: Sequence[str], value: Any) -> None:
        if op == "test":
            if _get(self.document, path) != value:
                raise _ImpossibleError("the test failed")
            return
        if op == "replace":
            _get(self.document, path)
        self._set(path, _copied(value), insert=op == "add")

    def _copy(self, value: Any) -> Any:
        self._bytes_copied += len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
        if self._bytes_copied > MOST_COPIED:
            raise _ImpossibleError(
                "Unable to complete the copy, the accumulated size increase of copy is "
                f"{self._bytes_copied}, exceeding the limit {MOST_COPIED}"
            )
        return _copied(value)

    def _set(self, path: Sequence[str], value: Any, *, insert: bool) -> None:
        if not path:
            self.document = value
            return
        parent, last = _get(self.document, path[:-1]), path[-1]
        if isinstance(parent, dict):
            parent[last] = value
        elif isinstance(parent, list) and insert:
            at = len(parent) if last == "-" else _index(last, len(parent))
            self._shift(len(parent) - at)
            parent.insert(at, value)
        elif isinstance(parent, list):
            parent[_index(last, len(parent) - 1)] = value
        else:
            raise _ImpossibleError(f"there is no {_text(path)}")

    def _remove(self, path: Sequence[str]) -> None:
        if not path:
            raise _ImpossibleError("the whole document cannot be removed")
        _get(self.document, path)
        parent, last = _get(self.document, path[:-1]), path[-1]
        if isinstance(parent, list):
            at = _index(last, len(parent) - 1)
            self._shift(len(parent) - at)
            del parent[at]
        else:
            del parent[last]

    def _shift(self, items: int) -> None:
        self._items_shifted += items
        if self._items_shifted > _MOST_SHIFTED:
            raise _ImpossibleError(f"all operations together move more than {_MOST_SHIFTED} items of lists")


def _copied(value: Any) -> Any:
    """A copy of a JSON value."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(item) for item in value]
    return value


def _pointer(text: object) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise _ImpossibleError(f"{str(text)[:_SHOWN]!r} is not a JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _get(document: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(document, Mapping) and part in document:
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(part, len(document) - 1)]
        else:
            raise _ImpossibleError(f"there is no {_text(path)}")
    return document


def _index(text: str, highest: int) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= _LONGEST_INDEX
    if not is_number or (len(text) > 1 and text[0] == "0") or int(text) > highest:
        raise _ImpossibleError(f"{text[:_SHOWN]!r} is not an index of that list")
    return int(text)


def _text(path: Sequence[str]) -> str:
    return ("/" + "/".join(path))[:_SHOWN]


def _named(number: int, operation: Any) -> str:
    """`operation 3 (copy from /a to /b)`."""
    if not isinstance(operation, Mapping):
        return f"operation {number}"
    op, path, source = (str(operation.get(name, ""))[:_SHOWN] for name in ("op", "path", "from"))
    shown = f"{op} from {source} to {path}" if op in ("copy", "move") else f"{op} {path}"
    return f"operation {number} ({shown.strip()})"
