"""Reading documents that nobody has checked: whatever is not of the expected shape reads as if it were absent."""

from collections.abc import Iterator, Mapping
from typing import Any

_MAPPING = (dict, Mapping)
"""The same as `Mapping`, and sooner known of a dictionary."""


def at(value: Any, *path: str) -> Any:
    """What is at that path of mappings; None where there is no such way."""
    for key in path:
        if not isinstance(value, _MAPPING):
            return None
        value = value.get(key)
    return value


def mapping(value: Any, *path: str) -> Mapping[str, Any]:
    """The mapping there, or an empty one."""
    found = at(value, *path)
    return found if isinstance(found, _MAPPING) else {}


def items(value: Any, *path: str) -> tuple[Any, ...]:
    """The list there, or an empty one."""
    found = at(value, *path)
    return tuple(found) if isinstance(found, list | tuple) else ()


def mappings(value: Any, *path: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The mappings of the list there, each with its place in the list."""
    return ((index, item) for index, item in enumerate(items(value, *path)) if isinstance(item, _MAPPING))


def text(value: Any, *path: str) -> str:
    """The string there, or an empty one."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def texts(value: Any, *path: str) -> tuple[str, ...]:
    """The strings of the list there."""
    return tuple(item for item in items(value, *path) if isinstance(item, str))


def number(value: Any, *path: str) -> int:
    """The whole number there, also when it is written as a string; 0 for anything else."""
    found = at(value, *path)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def string_map(value: Any, *path: str) -> dict[str, str]:
    """The map of strings there (labels, annotations, selectors); other scalars as YAML writes them."""
    return {str(key): _scalar(item) for key, item in mapping(value, *path).items()}


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def camel_keys(value: Any) -> Any:
    """The same document with `snake_case` keys as `camelCase`: proto JSON accepts both in mesh config."""
    if isinstance(value, Mapping):
        return {_camel(str(key)): camel_keys(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [camel_keys(item) for item in value]
    return value


def _camel(key: str) -> str:
    if not key.islower() or "_" not in key:
        return key
    first, *rest = key.split("_")
    return first + "".join(part.capitalize() for part in rest)
