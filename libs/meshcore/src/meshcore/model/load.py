"""From documents to objects and back, with every violation at once.

`parse_object` is the schema check. `load_yaml_documents` reads files and remembers lines, so that a violation of
`spec.http[0].weight` can say where that field stands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.base import MeshObject
from meshcore.model.kinds import by_kind
from meshcore.model.shape import Form, Shape, fields_by_name
from meshcore.model.validation import field_path, violations_of
from meshcore.model.yaml_depth import check_depth

_MAX_NODES = 500_000
_MAX_DEPTH = 100


def parse_object(document: Mapping[str, Any], *, strict: bool = True) -> MeshObject:
    """Read one object of a known kind.

    INVALID carries all violations of the schema. Unknown fields are violations when `strict`, else they are dropped.
    """
    parsed, unknown = parse_with_unknown_fields(document)
    if strict and unknown:
        raise _invalid(document, [Violation(path, "unknown field") for path in unknown])
    return parsed


def parse_with_unknown_fields(document: Mapping[str, Any]) -> tuple[MeshObject, tuple[str, ...]]:
    """Read one object and list the paths of the fields that its kind does not have; those are dropped."""
    if not isinstance(document, Mapping):
        raise MeshError(ErrorCode.INVALID, "an object is a mapping with apiVersion, kind and metadata")
    api_version, kind = document.get("apiVersion"), document.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        raise _invalid(document, [Violation("kind", "apiVersion and kind are required", "two strings")])
    model = by_kind(api_version, kind).model
    body = without_nulls(document, model)
    body.setdefault("metadata", {})
    try:
        return model.model_validate(body, by_alias=True, by_name=False), ()
    except ValidationError as error:
        unknown = [item["loc"] for item in error.errors(include_url=False) if item["type"] == "extra_forbidden"]
        others = violations_of(error, skip=("extra_forbidden",))
        if others:
            paths = [Violation(field_path(location), "unknown field") for location in unknown]
            raise _invalid(document, [*others, *paths]) from None
    for location in unknown:
        _drop(body, location)
    return model.model_validate(body, by_alias=True, by_name=False), tuple(field_path(place) for place in unknown)


def dump_object(value: MeshObject) -> dict[str, Any]:
    """The document of an object: camelCase, without defaults; `parse_object(dump_object(x)) == x`."""
    return value.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def without_nulls(document: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """A copy of a message without the fields whose value is null: an explicit null means absent (proto3 JSON).

    A null in a list or a map is left, for the schema to refuse; what has no schema is copied as it is. INVALID for text
    that is no Unicode (JSON can escape half a character), which nothing could store or send.
    """
    fields = fields_by_name(model)
    return {
        _unicode(key): _inner_without_nulls(value, fields[key].shape if key in fields else Shape())
        for key, value in document.items()
        if value is not None
    }


def _inner_without_nulls(value: Any, shape: Shape) -> Any:
    if isinstance(value, Mapping):
        if shape.model is not None:
            return without_nulls(value, shape.model)
        inner = shape.inner if shape.form is Form.MAP and shape.inner else Shape()
        return {_unicode(key): _inner_without_nulls(item, inner) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        inner = shape.inner if shape.form is Form.LIST and shape.inner else Shape()
        return [_inner_without_nulls(item, inner) for item in value]
    return _unicode(value)


def _unicode(value: Any) -> Any:
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            violation = Violation("", f"the text {value[:80]!a} is not Unicode", "whole characters")
            raise MeshError(ErrorCode.INVALID, "the object has text that is not Unicode", [violation]) from None
    return value


def _invalid(document: Mapping[str, Any], violations: list[Violation]) -> MeshError:
    metadata = document.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, Mapping) else ""
    return MeshError(ErrorCode.INVALID, f"{document.get('kind', 'object')} {name!r} is not valid", violations)


def _drop(body: Any, location: tuple[str | int, ...]) -> None:
    for part in location[:-1]:
        body = body[part]
    body.pop(location[-1], None)


@dataclass(frozen=True)
class Document:
    """One YAML document of a file; `line` (from 1) is where it begins."""

    file: str
    line: int
    body: Any
    node: yaml.Node | None = field(repr=False, compare=False, default=None)

    def line_of(self, path: str) -> int:
        """The line of the field of that path, or of the nearest parent that is there."""
        node, line, rest = self.node, self.line, path
        while node is not None and rest:
            step = _step(node, rest)
            if step is None:
                return line
            node, line, rest = step
        return line

    def locate(self, violation: Violation) -> Violation:
        """The same violation with file and line."""
        return Violation(
            violation.field, violation.message, violation.expected, self.file, self.line_of(violation.field)
        )


def _step(node: yaml.Node, path: str) -> tuple[yaml.Node, int, str] | None:
    """Follow the first part of `path`: the node there, its line, and the rest of the path."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            for form in (f".{key.value}", f"[{key.value}]", key.value):
                rest = path[len(form) :]
                if path.startswith(form) and (not rest or rest[0] in ".["):
                    return value, key.start_mark.line + 1, rest
    elif isinstance(node, yaml.SequenceNode) and path.startswith("["):
        number, bracket, rest = path[1:].partition("]")
        if bracket and number.isdecimal() and int(number) < len(node.value):
            value = node.value[int(number)]
            return value, value.start_mark.line + 1, rest
    return None


def _key_text(key: Any) -> Any:
    """Keys are strings, as in JSON: `8080: x` and `true: x` mean the texts."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return str(key) if isinstance(key, int | float) else key


class _Loader(yaml.CSafeLoader):
    """Safe YAML 1.1 without dates (Kubernetes has none) and without duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = getattr(key, "value", None)
            if isinstance(name, str) and name in seen and name != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is there twice", key.start_mark)
            if isinstance(name, str):
                seen.add(name)
        made = super().construct_mapping(node, deep)
        return {_key_text(key): value for key, value in made.items()}

    def construct_map_or_address(self, node: yaml.MappingNode) -> Iterator[Any]:
        """A mapping, or the text that an address such as `2001:db8::` is meant to be."""
        if (text := _address_text(node)) is not None:
            yield text
        else:
            yield from self.construct_yaml_map(node)


def _address_text(node: yaml.MappingNode) -> str | None:
    """YAML reads an unquoted `2001:db8::` as the key `2001:db8:` without a value; what tools in Go read is the text."""
    if len(node.value) != 1:
        return None
    key, value = node.value[0]
    plain = isinstance(key, yaml.ScalarNode) and not key.style and key.value.endswith(":")
    empty = isinstance(value, yaml.ScalarNode) and not value.style and not value.value
    return f"{key.value}:" if plain and empty else None


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_map_or_address)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def load_yaml_documents(text: str, source: str) -> list[Document]:
    """Read all documents of a file, `kind: List` unpacked; INVALID names file and line of what is not YAML."""
    documents: list[Document] = []
    loader: _Loader | None = None
    try:
        check_depth(text, _MAX_DEPTH)
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            line = node.start_mark.line + 1
            _check_size(node, source, line)
            documents.extend(_unpack(Document(source, line, loader.construct_document(node), node)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        violation = Violation("", problem, "a YAML document", source, mark.line + 1 if mark else 1)
        raise MeshError(ErrorCode.INVALID, f"{source} is not YAML", [violation]) from None
    except (ValueError, RecursionError) as error:
        raise MeshError(ErrorCode.INVALID, f"{source} is not YAML: {error}") from None
    finally:
        if loader is not None:
            loader.dispose()
    return [document for document in documents if document.body is not None]


def _unpack(document: Document) -> Iterator[Document]:
    body = document.body
    if not (isinstance(body, dict) and body.get("kind") == "List" and isinstance(body.get("items"), list)):
        yield document
        return
    for index, item in enumerate(body["items"]):
        node, line = _item_node(document.node, index)
        yield Document(document.file, line or document.line, item, node)


def _item_node(node: yaml.Node | None, index: int) -> tuple[yaml.Node | None, int]:
    found = _step(node, "items") if node is not None else None
    item = _step(found[0], f"[{index}]") if found else None
    return (item[0], item[1]) if item else (None, 0)


def _check_size(root: yaml.Node, source: str, line: int) -> None:
    """Refuse what grows or nests beyond reason once its aliases are expanded (a YAML bomb)."""
    sizes: dict[int, int | None] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if depth > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {_MAX_DEPTH}", problem_mark=node.start_mark)
        if id(node) in sizes:
            known = sizes[id(node)]
            if known is None:
                raise yaml.MarkedYAMLError(problem="an alias stands inside what it means", problem_mark=node.start_mark)
            return known
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        sizes[id(node)] = None
        total = 1 + sum(size(child, depth + 1) for child in children)
        sizes[id(node)] = total
        return total

    if size(root, 0) > _MAX_NODES:
        violation = Violation("", f"more than {_MAX_NODES} nodes", "a smaller document", source, line)
        raise MeshError(ErrorCode.INVALID, f"{source} is too large", [violation])
