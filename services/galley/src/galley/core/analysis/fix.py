"""Proposals how to fix what a message complains of, where it can be derived: a sentence and a JSON patch (RFC 6902)."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Operation = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fix:
    """What to do. `patch` applies to the object of the message; it is empty where only a person can choose."""

    description: str
    patch: tuple[Operation, ...] = ()


def pointer(*parts: str | int) -> str:
    """The JSON pointer (RFC 6901) of a place in a document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def add(value: Any, *place: str | int) -> Operation:
    """Put a value there; a list's or mapping's other entries stay."""
    return {"op": "add", "path": pointer(*place), "value": value}


def replace(value: Any, *place: str | int) -> Operation:
    """Change the value there."""
    return {"op": "replace", "path": pointer(*place), "value": value}


def remove(*place: str | int) -> Operation:
    """Take away what is there."""
    return {"op": "remove", "path": pointer(*place)}


def put_entry(body: Mapping[str, Any], key: str, value: Any, *place: str | int) -> tuple[Operation, ...]:
    """Put one entry into a mapping that may not be there yet, nor may its parents."""
    operations: list[Operation] = []
    here: Any = body
    for depth, part in enumerate(place):
        if isinstance(here, list) and isinstance(part, int):
            here = here[part]
        else:
            here = here.get(part) if isinstance(here, Mapping) else None
        if not isinstance(here, Mapping | list):
            operations.append(add({}, *place[: depth + 1]))
            here = {}
    return (*operations, add(value, *place, key))


def closest(wanted: str, known: Iterable[str]) -> str | None:
    """The known name that a mistyped one probably means."""
    found = difflib.get_close_matches(wanted, sorted(set(known)), n=1, cutoff=0.75)
    return found[0] if found else None


def use_instead(wanted: str, known: Iterable[str], *place: str | int) -> Fix | None:
    """Replace a name that does not exist by the one that it probably means."""
    meant = closest(wanted, known)
    return Fix(f"Did you mean {meant!r}?", (replace(meant, *place),)) if meant is not None else None
