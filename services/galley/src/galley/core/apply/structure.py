"""How a kind's values come apart: which lists are maps by a key, which are sets, which maps are one value.

Everything else is as in a custom resource without list types: maps come apart, lists are one value. A list whose items
cannot be told apart (a key is missing or there twice) counts as one value too; whether that is allowed is validation's.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]
"""Where a field is: `("f:spec", 'k:{"port":80,"protocol":"TCP"}', "f:name")`."""
FieldSet = frozenset[Path]
NOTHING: FieldSet = frozenset()


@dataclass(frozen=True, slots=True)
class Structure:
    """Places are field names with dots between them, `[]` behind a list for its items: `spec.ports[].name`."""

    list_keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Lists that are maps: their keys, each with the value that it has when it is not said (None: it must be)."""
    sets: frozenset[str] = frozenset()
    """Lists of scalars that are sets."""
    atomic_maps: frozenset[str] = frozenset()
    """Maps that have one owner as a whole."""

    def list_keys_at(self, place: str) -> Mapping[str, Any] | None:
        """The keys of a list that is a map."""
        return self.list_keys.get(place) or _METADATA_LIST_KEYS.get(place)

    def parts(self, value: Any, place: str) -> dict[str, Any] | None:
        """The parts of a value by path element, None when it is one value."""
        if isinstance(value, (dict, Mapping)):
            return None if place in self.atomic_maps else {f"f:{name}": part for name, part in value.items()}
        if not isinstance(value, list | tuple):
            return None
        if (keys := self.list_keys_at(place)) is not None:
            return _by_key(value, keys)
        if place in self.sets or place in _METADATA_SETS:
            return _by_value(value)
        return None


PLAIN = Structure()
"""A kind with no list types: every list is one value."""

_METADATA_SETS = frozenset({"metadata.finalizers"})
_METADATA_LIST_KEYS: Mapping[str, Mapping[str, Any]] = {"metadata.ownerReferences": {"uid": None}}


def place_of(place: str, element: str) -> str:
    """The place of a part."""
    if element.startswith("f:"):
        return f"{place}.{element[2:]}" if place else element[2:]
    return f"{place}[]"


def _by_key(items: list[Any] | tuple[Any, ...], keys: Mapping[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for item in items:
        if not isinstance(item, Mapping):
            return None
        values = {name: item.get(name, default) for name, default in sorted(keys.items())}
        element = "k:" + _text(values)
        if None in values.values() or element in found:
            return None
        found[element] = item
    return found


def _by_value(items: list[Any] | tuple[Any, ...]) -> dict[str, Any] | None:
    found = {"v:" + _text(item): item for item in items if not isinstance(item, Mapping | list)}
    return found if len(found) == len(items) else None


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
