"""Puts an applied configuration into an object, and takes fields out of it that nobody wants any more."""

from collections.abc import Mapping
from typing import Any

from galley.core.apply.structure import FieldSet, Path, Structure, place_of


def merge(live: Any, applied: Any, structure: Structure, place: str = "") -> Any:
    """The live value with everything that is applied; neither argument is changed.

    Maps and keyed lists merge part by part, items that are there keep their order and new ones come behind them.
    """
    live_parts, applied_parts = structure.parts(live, place), structure.parts(applied, place)
    if live_parts is None or applied_parts is None or isinstance(live, Mapping) != isinstance(applied, Mapping):
        return applied
    merged = dict(live_parts)
    for element, part in applied_parts.items():
        if element in merged:
            merged[element] = merge(merged[element], part, structure, place_of(place, element))
        else:
            merged[element] = part
    return _whole(live, merged)


def without(value: Any, gone: FieldSet, kept: FieldSet, structure: Structure) -> Any:
    """The value without the fields that are gone, unless they or parts of them are kept.

    A map that becomes empty by that goes too; an item of a keyed list goes as a whole, with what defaults put into it.
    """
    held = {path[:length] for path in kept for length in range(1, len(path) + 1)}
    reached = {path[:length] for path in gone for length in range(1, len(path) + 1)}

    def prune(path: Path, part: Any, place: str) -> Any:
        if path in gone and path not in held and not (isinstance(part, Mapping) and path[-1].startswith("f:")):
            return _GONE
        parts = structure.parts(part, place)
        if not parts or (path not in reached and path):
            return _GONE if path in gone and path not in held else part
        left: dict[str, Any] = {}
        for element, inner in parts.items():
            pruned = prune((*path, element), inner, place_of(place, element))
            if pruned is not _GONE:
                left[element] = pruned
        if path and not left and path not in held:
            return _GONE
        return _whole(part, left)

    return prune((), value, "")


_GONE = object()


def _whole(like: Any, parts: Mapping[str, Any]) -> Any:
    """Parts put together again."""
    if isinstance(like, Mapping):
        return {element[2:]: part for element, part in parts.items()}
    return list(parts.values())
