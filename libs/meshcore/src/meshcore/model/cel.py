"""Rules that a kind's schema carries beside its types: a CEL expression for CRDs, and the same as a predicate.

Kubernetes evaluates the expression where there is a CRD; here, with no API server in front, `broken_rules` asks the
predicate. The two stand side by side so that they are read, and changed, together.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import GetJsonSchemaHandler

VALIDATIONS = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Cel:
    """One rule on a value (in `Annotated`) or on a message (in its `cel`): `holds` says what `rule` says."""

    rule: str
    message: str
    holds: Callable[[Any], bool]
    field: str = ""
    """The field of the message that the rule is about, where it is about one."""

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        add_rules(schema, (self,))
        return schema


@dataclass(frozen=True, slots=True)
class MapKeys:
    """The items of a list are told apart by these keys (`x-kubernetes-list-type: map`); `holds` sees to it."""

    keys: tuple[str, ...]

    @property
    def message(self) -> str:
        """What is said of a list with two items of the same keys."""
        return f"two items have the same {' and '.join(self.keys)}"

    def holds(self, items: tuple[Any, ...]) -> bool:
        """Whether no two items agree in all keys."""
        seen = [tuple(getattr(item, key) for key in self.keys) for item in items]
        return len(set(seen)) == len(seen)

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        schema["x-kubernetes-list-type"] = "map"
        schema["x-kubernetes-list-map-keys"] = list(self.keys)
        return schema


@dataclass(frozen=True, slots=True)
class Keyword:
    """A limit that JSON schema has a keyword for; asked with the other rules, so that all faults come at once."""

    name: str
    value: str | int
    message: str
    expected: str
    holds: Callable[[Any], bool]

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        schema[self.name] = self.value
        return schema


def max_length(most: int) -> Keyword:
    """A text of at most so many characters."""
    return Keyword("maxLength", most, "too long", f"at most {most} characters", lambda text: len(text) <= most)


def min_length(least: int) -> Keyword:
    """A text of at least so many characters."""
    return Keyword("minLength", least, "too short", f"at least {least} characters", lambda text: len(text) >= least)


def max_items(most: int) -> Keyword:
    """A list of at most so many items."""
    return Keyword("maxItems", most, "too many items", f"at most {most}", lambda items: len(items) <= most)


def min_items(least: int) -> Keyword:
    """A list that, where it is written, has so many items."""
    return Keyword("minItems", least, "too few items", f"at least {least}", lambda items: len(items) >= least)


def max_properties(most: int) -> Keyword:
    """A map of at most so many entries."""
    return Keyword("maxProperties", most, "too many entries", f"at most {most}", lambda entries: len(entries) <= most)


def min_properties(least: int) -> Keyword:
    """A map that, where it is written, has so many entries."""
    return Keyword(
        "minProperties", least, "too few entries", f"at least {least}", lambda entries: len(entries) >= least
    )


def maximum(most: int) -> Keyword:
    """A number that is not larger."""
    return Keyword("maximum", most, "too large", f"at most {most}", lambda number: number <= most)


def minimum(least: int) -> Keyword:
    """A number that is not smaller."""
    return Keyword("minimum", least, "too small", f"at least {least}", lambda number: number >= least)


def pattern(text: str) -> Keyword:
    """A text in which the regular expression is found (anchor it)."""
    compiled = re.compile(text)
    return Keyword(
        "pattern",
        text,
        "not of the right form",
        f"a text that matches {text}",
        lambda value: compiled.search(value) is not None,
    )


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


BASE64 = Keyword("format", "byte", "not base64", "base64 with padding", _is_base64)
"""Bytes in JSON."""


def add_rules(schema: dict[str, Any], rules: tuple[Cel, ...]) -> None:
    """Write the rules into a JSON schema."""
    schema.setdefault(VALIDATIONS, []).extend({"rule": rule.rule, "message": rule.message} for rule in rules)


def has(message: Any, name: str) -> bool:
    """CEL's `has(self.name)`: the field was written, whatever its value."""
    return name in message.model_fields_set


POSITIVE_DURATION = Cel(
    "duration(self) >= duration('1ms')",
    "must be a valid duration greater than 1ms",
    lambda value: value >= timedelta(milliseconds=1),
)
PORT_RANGE = Cel("0 < self && self <= 65535", "port must be between 1-65535", lambda value: 0 < value <= 65535)
NO_WILDCARD_VALUE = Cel(
    '!self.contains("*")', "wildcard not allowed in label value match", lambda value: "*" not in value
)
NO_WILDCARD_KEY = Cel(
    'self.all(key, !key.contains("*"))',
    "wildcard not allowed in label key match",
    lambda labels: not any("*" in key for key in labels),
)
NO_EMPTY_KEY = Cel("self.all(key, key.size() != 0)", "key must not be empty", lambda labels: "" not in labels)
NO_WILDCARD_SELECTOR = Cel(
    '!self.contains("*")', "wildcard is not supported in selector", lambda value: "*" not in value
)
