"""From documents to objects and back, with every violation at once.

`parse_object` is the schema check. `load_yaml_documents` reads files, and a violation of `spec.http[0].weight` can say
where that field stands.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model.base import MeshObject
from meshcore.model.kinds import by_kind
from meshcore.model.shape import Form, Shape, fields_by_name
from meshcore.model.validation import field_path, violations_of
from meshcore.model.yaml_depth import check_depth
from meshcore.model.yaml_layout import Layout, step_into
from meshcore.model.yaml_loader import Loader, expanded_size

_BYTE_ORDER_MARK = "\ufeff"
_MAX_NODES = 500_000
_MAX_DEPTH = 100
"""Levels of lists and mappings in an object or a document: no kind has a use for as many, JSON of protobuf takes no
more, and what reads them calls itself for each."""
_TOO_DEEP = Violation("", f"nested more than {_MAX_DEPTH} levels deep", "fewer lists and mappings in each other")
_SHOWN_STEPS = 8
"""Of the path of a field that is too deep."""
_ANYTHING = Shape()
_SCALARS = (str, int, float)
_NUMBERS_END = 2**63
"""Whole numbers begin at its negative, and end at twice of it: what JSON's readers take for signed or unsigned."""


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

    A null in a list or a map is left, for the schema to refuse, and so is that of an unknown field; what has no schema
    is copied as it is. INVALID, naming the field, for what nothing could store or send: text that is no Unicode (JSON
    can escape half a character), numbers without end or of more than 64 bits, what is nested more than 100 levels deep.
    """
    return _message_without_nulls(document, model, document, _MAX_DEPTH)


def check_nesting(document: Any) -> None:
    """INVALID, naming the field, for a document that is nested more than 100 levels deep."""
    if (violation := _first_fault(document, _depth_fault)) is not None:
        raise _too_deep(violation)


def check_scalars(document: Any) -> None:
    """INVALID, naming the field, for a document with text or numbers that nothing could store or send."""
    if (violation := _first_fault(document, _scalar_fault)) is not None:
        raise _unwritable(violation)


def _message_without_nulls(
    document: Mapping[str, Any], model: type[BaseModel], whole: Mapping[str, Any], room: int
) -> dict[str, Any]:
    """`whole` is the object that this message is of, `room` the levels that it may still have."""
    fields = fields_by_name(model)
    result: dict[str, Any] = {}
    for key, value in document.items():
        field = fields.get(key)
        if field is None:
            result[_writable(key, whole)] = _inner_without_nulls(value, _ANYTHING, whole, room - 1)
        elif value is not None:
            result[key] = _inner_without_nulls(value, field.shape, whole, room - 1)
    return result


def _inner_without_nulls(value: Any, shape: Shape, whole: Mapping[str, Any], room: int) -> Any:
    if isinstance(value, _SCALARS):
        return _writable(value, whole)
    if room <= 0 and isinstance(value, (dict, list, tuple, Mapping)):
        raise _too_deep(_first_fault(whole, _depth_fault) or _TOO_DEEP)
    if isinstance(value, (dict, Mapping)):
        if shape.model is not None:
            return _message_without_nulls(value, shape.model, whole, room)
        inner = shape.inner if shape.form is Form.MAP and shape.inner else _ANYTHING
        items = value.items()
        return {_writable(key, whole): _inner_without_nulls(item, inner, whole, room - 1) for key, item in items}
    if isinstance(value, (list, tuple)):
        inner = shape.inner if shape.form is Form.LIST and shape.inner else _ANYTHING
        return [_inner_without_nulls(item, inner, whole, room - 1) for item in value]
    return value


def _first_fault(document: Any, fault_of: Callable[[Any, int], Violation | None]) -> Violation | None:
    """A fault of a value, or of a key, with the field's path as far as it has names: `spec.http[0].match`. Calls itself
    not; `fault_of` is asked with the levels above."""
    waiting: list[tuple[Any, tuple[str | int, ...]]] = [(document, ())]
    while waiting:
        value, path = waiting.pop()
        is_mapping = isinstance(value, (dict, Mapping))
        faults = (fault_of(one, len(path)) for one in ((value, *value) if is_mapping else (value,)))
        if (fault := next(filter(None, faults), None)) is not None:
            shown = path[:_SHOWN_STEPS]
            while len(path) > _SHOWN_STEPS and shown and isinstance(shown[-1], int):
                shown = shown[:-1]
            return replace(fault, field=field_path(shown))
        if is_mapping or isinstance(value, (list, tuple)):
            items = value.items() if is_mapping else enumerate(value)
            waiting += [(item, (*path, key)) for key, item in items]
    return None


def _depth_fault(value: Any, levels: int) -> Violation | None:
    return _TOO_DEEP if levels >= _MAX_DEPTH and isinstance(value, (dict, list, tuple, Mapping)) else None


def _scalar_fault(value: Any, _: int = 0) -> Violation | None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return Violation("", f"the text {value[:80]!a} is not Unicode", "whole characters")
    elif isinstance(value, float) and not math.isfinite(value):
        return Violation("", f"{value} is no number of JSON", "a finite number")
    elif isinstance(value, int) and not -_NUMBERS_END <= value < 2 * _NUMBERS_END:
        return Violation("", "a whole number of more than 64 bits", "a smaller number, or a text")
    return None


def _too_deep(violation: Violation) -> MeshError:
    return MeshError(ErrorCode.INVALID, "the object is nested too deeply", [violation])


def _unwritable(violation: Violation) -> MeshError:
    return MeshError(ErrorCode.INVALID, "the object has what cannot be stored or sent", [violation])


def _writable(value: Any, whole: Mapping[str, Any]) -> Any:
    """The scalar, which can be stored and sent; `whole` is the object that it is of."""
    if isinstance(value, str):
        if value.isascii():
            return value
    elif isinstance(value, int) and -_NUMBERS_END <= value < _NUMBERS_END:
        return value
    if (fault := _scalar_fault(value)) is not None:
        raise _unwritable(_first_fault(whole, _scalar_fault) or fault)
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
    """One YAML document of a file, or one object of its `kind: List`; `line` (from 1) is where it begins."""

    file: str
    line: int
    body: Any
    layout: Layout | None = field(repr=False, compare=False, default=None)
    within: str = field(repr=False, compare=False, default="")
    """The path of an object of a list in the document whose layout this is."""

    def line_of(self, path: str) -> int:
        """The line of the field of that path, or of the nearest parent that is there."""
        if self.layout is None:
            return self.line
        joint = "." if self.within and path and not path.startswith("[") else ""
        return self.layout.line_of(f"{self.within}{joint}{path}", self.line)

    def locate(self, violation: Violation) -> Violation:
        """The same violation with file and line."""
        return Violation(
            violation.field, violation.message, violation.expected, self.file, self.line_of(violation.field)
        )


def load_yaml_documents(text: str, source: str) -> list[Document]:
    """Read all documents of a file, `kind: List` unpacked; INVALID names file and line of what is not YAML."""
    documents: list[Document] = []
    loader: Loader | None = None
    text = text.lstrip(_BYTE_ORDER_MARK)
    try:
        check_depth(text, _MAX_DEPTH)
        loader = Loader(text)
        before: yaml.Node | None = None
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            line = node.start_mark.line + 1
            if expanded_size(node, _MAX_DEPTH) > _MAX_NODES:
                problem = f"more than {_MAX_NODES} nodes once aliases are expanded, long texts counting as many"
                violation = Violation("", problem, "a smaller document", source, line)
                raise MeshError(ErrorCode.INVALID, f"{source} is too large", [violation])
            layout = Layout(text, before, node)
            before = node
            body = loader.construct_document(node)
            documents.extend(_unpack(Document(source, line, body, layout), node))
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


def _unpack(document: Document, root: yaml.Node) -> Iterator[Document]:
    body = document.body
    if not (isinstance(body, dict) and body.get("kind") == "List" and isinstance(body.get("items"), list)):
        yield document
        return
    items = step_into(root, "items")
    for index, item in enumerate(body["items"]):
        found = step_into(items[0], f"[{index}]") if items else None
        line = found[1] if found else document.line
        yield Document(document.file, line, item, document.layout, f"items[{index}]")
