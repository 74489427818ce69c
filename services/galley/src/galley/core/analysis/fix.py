"""Proposals how to fix what a message complains of, where it can be derived: a sentence and a JSON patch (RFC 6902)."""

import bisect
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


_NEIGHBOURS = 8
_SIMILARITY = 0.75


class KnownNames:
    """Names among which a mistyped one is looked for; only neighbours in both orders are compared, so it is quick."""

    def __init__(self, names: Iterable[str]) -> None:
        self._forward = sorted(set(names))
        self._backward = sorted(name[::-1] for name in self._forward)

    def closest(self, wanted: str) -> str | None:
        """The known name that a mistyped one probably means: it begins or ends as that does."""
        candidates = {*_around(self._forward, wanted), *(name[::-1] for name in _around(self._backward, wanted[::-1]))}
        found = difflib.get_close_matches(wanted, sorted(candidates), n=1, cutoff=_SIMILARITY)
        return found[0] if found else None


def _around(names: list[str], wanted: str) -> list[str]:
    at = bisect.bisect_left(names, wanted)
    return names[max(0, at - _NEIGHBOURS) : at + _NEIGHBOURS]


def use_instead(wanted: str, known: KnownNames, *place: str | int) -> Fix | None:
    """Replace a name that does not exist by the one that it probably means."""
    meant = known.closest(wanted)
    return Fix(f"Did you mean {meant!r}?", (replace(meant, *place),)) if meant is not None else None
