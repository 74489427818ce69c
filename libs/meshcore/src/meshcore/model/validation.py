"""From pydantic's errors to violations with a field path and words about what would be right."""

import re
from collections.abc import Iterable

from pydantic import ValidationError

from meshcore.errors import Violation

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "mapping_type": "a mapping",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_LENGTHS = {
    "string_too_short": "character",
    "string_too_long": "character",
    "too_short": "item",
    "too_long": "item",
}
_SHOWN = 60
UNKNOWN_FIELD = "unknown field"
"""The message of a violation that is only a field nobody knows."""


def field_path(location: Iterable[str | int]) -> str:
    """`("spec", "http", 0, "weight")` -> `spec.http[0].weight`; keys that are no names go into brackets."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f"[{part}]"
    return path


def violations_of(error: ValidationError, skip: tuple[str, ...] = ()) -> list[Violation]:
    """Every error as a violation, in the order of the document; errors of the types in `skip` are left out."""
    return [
        _violation(item)
        for item in error.errors(include_url=False, include_input=True)
        if item["type"] not in skip and not _is_echo(item)
    ]


def _is_echo(item: object) -> bool:
    """A list that counts as too short only because its items are wrong: that is said of the items."""
    return item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]  # type: ignore[index,no-any-return]


def _violation(item: object) -> Violation:
    kind, location, context = item["type"], item["loc"], item.get("ctx", {})  # type: ignore[index,attr-defined]
    field = field_path(location)
    if kind == "extra_forbidden":
        return Violation(field, UNKNOWN_FIELD)
    if kind == "missing":
        return Violation(field, "required", "a value")
    if kind == "enum":
        return Violation(field, f"unsupported value {item['input']!r}", f"one of {context['expected']}")  # type: ignore[index]
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return Violation(field, f"invalid value {item['input']!r}", bound)  # type: ignore[index]
    if kind == "value_error":
        return Violation(field, str(context["error"]))
    if kind in _LENGTHS:
        side, limit = ("least", context["min_length"]) if "min_length" in context else ("most", context["max_length"])
        found = _count(len(item["input"]), _LENGTHS[kind])  # type: ignore[index]
        return Violation(field, found, f"at {side} {_count(limit, _LENGTHS[kind])}")
    if kind == "string_pattern_mismatch":
        return Violation(field, f"{_shortened(item['input'])} has not the right form", f"matching {context['pattern']}")  # type: ignore[index]
    if kind == "literal_error":
        return Violation(field, f"unsupported value {_shortened(item['input'])}", f"one of {context['expected']}")  # type: ignore[index]
    if kind in _EXPECTED:
        return Violation(field, f"invalid type {type(item['input']).__name__}", _EXPECTED[kind])  # type: ignore[index]
    return Violation(field, str(item["msg"]))  # type: ignore[index]


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
