"""FieldsV1: a set of fields as the JSON tree in which the API shows it.

A key is a path element, `.` stands for the field itself where parts of it are named too.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from galley.core.apply.structure import FieldSet, Path, Structure, place_of

_KINDS = ("f:", "k:", "v:", "i:")
_DEEPEST = 200
_SCALARS = (str, int, float)


def encode_fields(fields: Iterable[Path]) -> dict[str, Any]:
    """The tree of a set."""
    nodes: dict[Path, dict[str, Any]] = {(): {}}

    def node_at(path: Path) -> dict[str, Any]:
        node = nodes.get(path)
        if node is None:
            node = nodes[path] = node_at(path[:-1])[path[-1]] = {}
        return node

    members = [node_at(path) for path in fields]
    for node in members:
        if node:
            node["."] = {}
    return _sorted(nodes[()])


def encode_all(value: Any, structure: Structure) -> dict[str, Any]:
    """The tree of every field of a value, as `encode_fields(all_fields(value))`, in one walk."""
    tree = _everything(value, structure, "")
    tree.pop(".", None)
    return tree


def _everything(value: Any, structure: Structure, place: str) -> dict[str, Any]:
    parts = None if isinstance(value, _SCALARS) else structure.parts(value, place)
    if not parts:
        return {}
    tree: dict[str, Any] = {".": {}}
    for element in sorted(parts):
        tree[element] = _everything(parts[element], structure, place_of(place, element))
    return tree


def _sorted(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _sorted(tree[name]) for name in sorted(tree)}


def decode_fields(tree: Any) -> FieldSet:
    """The set of a tree; INVALID when it is none."""
    return frozenset(_members(tree, ()))


def _members(tree: Any, path: Path) -> Iterator[Path]:
    if not isinstance(tree, Mapping) or len(path) > _DEEPEST:
        raise MeshError(ErrorCode.INVALID, "fieldsV1 is not a set of fields")
    if path and not tree:
        yield path
    for element, below in tree.items():
        if element == ".":
            yield path
        elif isinstance(element, str) and element.startswith(_KINDS):
            yield from _members(below, (*path, element))
        else:
            raise MeshError(ErrorCode.INVALID, f"fieldsV1 has the unknown element {element!r}")


def field_text(path: Path) -> str:
    """A path as messages show it: `.spec.ports[port=80,protocol="TCP"].name`."""
    return "".join(_element_text(element) for element in path)


def _element_text(element: str) -> str:
    kind, value = element[:2], element[2:]
    if kind == "f:":
        return f".{value}"
    if kind == "k:":
        inner = value.strip("{}")
        return "[" + ",".join(_key_text(part) for part in _split(inner)) + "]"
    return f"[={value}]" if kind == "v:" else f"[{value}]"


def _split(text: str) -> list[str]:
    """The members of a flat JSON object; a comma inside of a string stays."""
    parts, start, quoted, escaped = [], 0, False, False
    for at, letter in enumerate(text):
        if letter == '"' and not escaped:
            quoted = not quoted
        elif letter == "," and not quoted:
            parts.append(text[start:at])
            start = at + 1
        escaped = letter == "\\" and not escaped
    return [*parts, text[start:]]


def _key_text(member: str) -> str:
    name, _, value = member.partition(":")
    return f"{name.strip(chr(34))}={value}"
