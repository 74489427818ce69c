"""Which fields a value has, and in which two values differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from galley.core.apply.structure import NOTHING, FieldSet, Path, Structure, place_of


@dataclass(frozen=True, slots=True)
class Differences:
    """From one value to another; of a map that comes or goes, the map and everything in it."""

    added: FieldSet = NOTHING
    modified: FieldSet = NOTHING
    removed: FieldSet = NOTHING

    @property
    def written(self) -> FieldSet:
        """Fields that have a value now which they did not have."""
        return self.added | self.modified


def fields_of(value: Any, structure: Structure) -> FieldSet:
    """The fields that an applied configuration claims: its values, its empty maps, the items of its keyed lists."""
    found: list[Path] = []
    _claim((), value, structure, "", found)
    return frozenset(found)


def _claim(path: Path, value: Any, structure: Structure, place: str, found: list[Path]) -> None:
    parts = structure.parts(value, place)
    if path and (not parts or not path[-1].startswith("f:")):
        found.append(path)
    for element, part in (parts or {}).items():
        _claim((*path, element), part, structure, place_of(place, element), found)


def all_fields(value: Any, structure: Structure, path: Path = (), place: str = "") -> FieldSet:
    """Every field of a value and every map and list around them."""
    found: list[Path] = []
    _add_all(path, value, structure, place, found)
    return frozenset(found)


def _add_all(path: Path, value: Any, structure: Structure, place: str, found: list[Path]) -> None:
    if path:
        found.append(path)
    for element, part in (structure.parts(value, place) or {}).items():
        _add_all((*path, element), part, structure, place_of(place, element), found)


def differences(before: Any, after: Any, structure: Structure) -> Differences:
    """What one has to write and remove to come from the one to the other."""
    added: set[Path] = set()
    modified: set[Path] = set()
    removed: set[Path] = set()

    def walk(path: Path, old: Any, new: Any, place: str) -> None:
        old_parts, new_parts = structure.parts(old, place), structure.parts(new, place)
        if old_parts is None or new_parts is None or isinstance(old, Mapping) != isinstance(new, Mapping):
            if not _same(old, new):
                modified.add(path)
                removed.update(all_fields(old, structure, path, place) - {path})
                added.update(all_fields(new, structure, path, place) - {path})
            return
        for element, part in new_parts.items():
            at, below = (*path, element), place_of(place, element)
            if element in old_parts:
                walk(at, old_parts[element], part, below)
            else:
                added.update(all_fields(part, structure, at, below))
        for element, part in old_parts.items():
            if element not in new_parts:
                removed.update(all_fields(part, structure, (*path, element), place_of(place, element)))

    walk((), before, after, "")
    return Differences(frozenset(added), frozenset(modified), frozenset(removed))


def _same(old: Any, new: Any) -> bool:
    """Equality of JSON values, in which true is not 1."""
    if isinstance(old, bool) != isinstance(new, bool):
        return False
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_same(old[name], new[name]) for name in old)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(_same(one, other) for one, other in zip(old, new, strict=True))
    return bool(old == new)
