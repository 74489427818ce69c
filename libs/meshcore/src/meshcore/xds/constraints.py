"""Envoy's own constraints on single fields, as its API states them (protoc-gen-validate rules in the descriptors).

Python's messages carry these rules and do not check them; Envoy refuses a resource that breaks one, as it refuses some
values that no rule is about (`refused_values`). Pure.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from functools import lru_cache
from typing import Any

from google.protobuf import any_pb2, descriptor, duration_pb2, message, unknown_fields
from validate import validate_pb2

from meshcore.xds import registry
from meshcore.xds.refused_values import matches, refused_values

_WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
_NUMBERS = frozenset(
    ("float", "double", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32")
)
_ONE_LINE = r"^[^\x00\n\r]*$"
_PATTERNS = {
    validate_pb2.HTTP_HEADER_NAME: r"^:?[0-9a-zA-Z!#$%&'*+.^_|~`-]+$",
    validate_pb2.HTTP_HEADER_VALUE: r"^[^\x00-\x08\x0A-\x1F\x7F]*$",
}
_LIMITS: tuple[tuple[str, Callable[[Any, Any], bool], str], ...] = (
    ("gt", lambda value, limit: value > limit, "greater than"),
    ("gte", lambda value, limit: value >= limit, "at least"),
    ("lt", lambda value, limit: value < limit, "less than"),
    ("lte", lambda value, limit: value <= limit, "at most"),
)


def violations(whole: message.Message) -> Iterator[str]:
    """Each broken constraint of the message and of all in it, those in `Any` too: the field's path and what it must
    be."""
    return _of_message(whole, "", partial=False)


def wrong_values(piece: message.Message) -> Iterator[str]:
    """The same of a message that is to be merged into another: only what it says, not what it leaves out."""
    return _of_message(piece, "", partial=True)


def _of_message(part: message.Message, path: str, *, partial: bool) -> Iterator[str]:
    if isinstance(part, any_pb2.Any):
        inner = registry.unpack(part)
        if inner is not None:
            yield from _of_message(inner, path, partial=partial)
        return
    if len(unknown_fields.UnknownFieldSet(part)):
        return  # written for a newer API than this one, which may ask for something else
    for name, fault in refused_values(part):
        yield f"{_at(path, name)} {fault}"
    for oneof in () if partial else part.DESCRIPTOR.oneofs:
        if _is_required(oneof) and part.WhichOneof(oneof.name) is None:
            names = ", ".join(field.name for field in oneof.fields)
            yield f"{_at(path, oneof.name)} needs one of {names}"
    fields = [field for field, _ in part.ListFields()] if partial else part.DESCRIPTOR.fields
    for field in fields:
        yield from _of_field(part, field, _at(path, field.name), partial=partial)


def _of_field(part: message.Message, field: descriptor.FieldDescriptor, path: str, *, partial: bool) -> Iterator[str]:
    rules = _rules(field)
    if field.is_repeated:
        yield from _of_items(getattr(part, field.name), field, rules, path, partial=partial)
        return
    if field.has_presence and not part.HasField(field.name):
        if rules is not None and field.containing_oneof is None and _must_be_there(rules):
            yield f"{path} is required"
        return
    value = getattr(part, field.name)
    if rules is not None:
        yield from _of_value(value, rules, field, path)
    if isinstance(value, message.Message) and not (rules is not None and rules.message.skip):
        yield from _of_message(value, path, partial=partial)


def _of_items(
    items: Any, field: descriptor.FieldDescriptor, rules: validate_pb2.FieldRules | None, path: str, *, partial: bool
) -> Iterator[str]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if rules is not None and len(items) < rules.map.min_pairs:
            yield f"{path} needs at least {rules.map.min_pairs}"
        if field.message_type.fields_by_name["value"].message_type is not None:
            for key in sorted(items):
                yield from _of_message(items[key], f"{path}[{key}]", partial=partial)
        return
    if rules is not None and rules.WhichOneof("type") == "repeated":
        yield from _of_list(items, field, rules.repeated, path)
    if field.message_type is not None:
        for index, item in enumerate(items):
            yield from _of_message(item, f"{path}[{index}]", partial=partial)


def _of_list(items: Any, field: descriptor.FieldDescriptor, wanted: Any, path: str) -> Iterator[str]:
    if len(items) < wanted.min_items:
        yield f"{path} needs at least {wanted.min_items}"
    if wanted.HasField("max_items") and len(items) > wanted.max_items:
        yield f"{path} takes at most {wanted.max_items}"
    if wanted.HasField("items"):
        for index, item in enumerate(items):
            yield from _of_value(item, wanted.items, field, f"{path}[{index}]")


def _of_value(
    value: Any, rules: validate_pb2.FieldRules, field: descriptor.FieldDescriptor, path: str
) -> Iterator[str]:
    kind = rules.WhichOneof("type")
    if kind is None:
        return
    wanted = getattr(rules, kind)
    if isinstance(value, message.Message):
        if kind == "duration" and isinstance(value, duration_pb2.Duration):
            yield from _outside(_length(value), wanted, path, _length)
        elif value.DESCRIPTOR.full_name in _WRAPPERS:
            yield from _of_value(value.value, rules, field, path)
        return
    yield from _of_scalar(value, kind, wanted, field, path)


def _of_scalar(value: Any, kind: str, wanted: Any, field: descriptor.FieldDescriptor, path: str) -> Iterator[str]:
    if kind in ("string", "bytes"):
        yield from _of_text(value, wanted, path)
    elif kind == "enum":
        known = field.enum_type.values_by_number if field.enum_type is not None else {}
        if (wanted.defined_only and value not in known) or value in wanted.not_in:
            yield f"{path} must be one of the named values"
    elif kind in _NUMBERS and not (wanted.ignore_empty and not value):
        yield from _outside(value, wanted, path, lambda limit: limit)
    elif kind == "bool" and wanted.HasField("const") and value != wanted.const:
        yield f"{path} must be {str(wanted.const).lower()}"


def _of_text(value: Any, wanted: Any, path: str) -> Iterator[str]:
    if not value and wanted.ignore_empty:
        return
    size = len(value.encode()) if isinstance(value, str) else len(value)
    shortest = max(wanted.min_len, getattr(wanted, "min_bytes", 0))
    if size < shortest:
        yield f"{path} must not be empty" if shortest == 1 else f"{path} must have {shortest} characters or more"
    for name in ("max_len", "max_bytes"):
        if getattr(wanted, name, 0) and size > getattr(wanted, name):
            yield f"{path} must not have more than {getattr(wanted, name)} characters"
    if wanted.prefix and not value.startswith(wanted.prefix):
        yield f"{path} must begin with {wanted.prefix!r}"
    if isinstance(value, str) and (pattern := wanted.pattern or _well_known(wanted)) and not matches(pattern, value):
        yield f"{path} must match {pattern}"
    allowed: Iterable[Any] = getattr(wanted, "in")
    if allowed and value not in allowed:
        yield f"{path} must be one of {', '.join(map(str, allowed))}"


def _outside(value: Any, wanted: Any, path: str, read: Callable[[Any], Any]) -> Iterator[str]:
    for name, fits, words in _LIMITS:
        if wanted.HasField(name) and not fits(value, read(getattr(wanted, name))):
            yield f"{path} must be {words} {read(getattr(wanted, name))}"


def _length(value: duration_pb2.Duration) -> timedelta:
    return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def _well_known(wanted: Any) -> str:
    """The pattern behind a rule's name for one; empty for those that are not about headers."""
    if not hasattr(wanted, "well_known_regex") or wanted.well_known_regex == validate_pb2.UNKNOWN:
        return ""
    if not wanted.strict and wanted.HasField("strict"):
        return _ONE_LINE
    return _PATTERNS.get(wanted.well_known_regex, "")


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


@lru_cache(maxsize=8192)
def _rules(field: descriptor.FieldDescriptor) -> validate_pb2.FieldRules | None:
    options = field.GetOptions()
    return options.Extensions[validate_pb2.rules] if options.HasExtension(validate_pb2.rules) else None


@lru_cache(maxsize=4096)
def _is_required(oneof: descriptor.OneofDescriptor) -> bool:
    return bool(oneof.GetOptions().Extensions[validate_pb2.required])


def _must_be_there(rules: validate_pb2.FieldRules) -> bool:
    return bool(rules.message.required or rules.any.required or rules.duration.required or rules.timestamp.required)
