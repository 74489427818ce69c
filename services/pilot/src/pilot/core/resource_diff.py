"""What differs between two resource sets, field by field. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from meshcore.xds import registry
from meshcore.xds.origin import NAMESPACE, Origins, distinct, origins_in
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import PUSH_ORDER, ROUTE_TYPE, SHORT_NAMES

from pilot.core.config_dump import as_document

FIELDS = 50
"""Differences that are told of one resource; `more` counts the others."""
_KEYS = ("name", "key", "cluster_name")
_NOTHING = object()


class Change(StrEnum):
    """What becomes of a resource."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, by its path in proto names; JSON values, None for a field that is not there."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """One resource that would be sent or taken away, and the objects that make it (or made it)."""

    type: str
    name: str
    change: Change
    configs: Origins = ()
    fields: tuple[FieldChange, ...] = ()
    more: int = 0
    size: int = 0
    """Bytes that would be sent."""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "type": self.type,
            "name": self.name,
            "change": self.change.value,
            "configs": [str(config) for config in self.configs],
            "fields": [{"path": one.path, "before": one.before, "after": one.after} for one in self.fields],
            "more_fields": self.more,
            "bytes": self.size,
        }


def resource_changes(before: ResourceSet, after: ResourceSet) -> tuple[ResourceChange, ...]:
    """In push order, by name. Resources of the same version are the same; who made them is no difference."""
    registry.load()
    types = [type_url for type_url in PUSH_ORDER if before.of_type(type_url) or after.of_type(type_url)]
    return tuple(change for type_url in types for change in _of_type(before, after, type_url))


def _of_type(before: ResourceSet, after: ResourceSet, type_url: str) -> Iterator[ResourceChange]:
    olds, news = before.of_type(type_url), after.of_type(type_url)
    if olds is news:
        return
    kind = SHORT_NAMES.get(type_url, type_url)
    for name in sorted({*olds, *news}):
        old, new = olds.get(name), news.get(name)
        if old is None and new is not None:
            yield ResourceChange(kind, name, Change.ADDED, new.origins, size=len(new.body))
        elif new is None and old is not None:
            yield ResourceChange(kind, name, Change.REMOVED, old.origins)
        elif old is not None and new is not None and old.version != new.version:
            found = list(field_changes(_document(old), _document(new)))
            made_by = _makers(old, new)
            rest = max(0, len(found) - FIELDS)
            yield ResourceChange(kind, name, Change.CHANGED, made_by, tuple(found[:FIELDS]), rest, len(new.body))


def _makers(old: PackedResource, new: PackedResource) -> Origins:
    """Who made what differs: of a route configuration the makers of the virtual hosts that are not the same."""
    everyone = distinct((*new.origins, *old.origins))
    if new.type_url != ROUTE_TYPE:
        return everyone
    hosts = [{one.name: one for one in registry.parse(ROUTE_TYPE, item.body).virtual_hosts} for item in (new, old)]
    unlike = [name for name in dict.fromkeys((*hosts[0], *hosts[1])) if hosts[0].get(name) != hosts[1].get(name)]
    made_by = [part for named in hosts for name in unlike if name in named for part in origins_in(named[name].metadata)]
    known = {origin.unversioned: origin for origin in everyone}
    return distinct(known.get(origin.unversioned, origin) for origin in made_by) or everyone


def _document(resource: PackedResource) -> Any:
    return without_origins(as_document(registry.parse(resource.type_url, resource.body)))


def without_origins(value: Any) -> Any:
    """Without our own metadata: who made a resource stands beside its difference."""
    if isinstance(value, list):
        return [without_origins(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: without_origins(item) for key, item in value.items()}
    if isinstance(made.get("filter_metadata"), dict):
        made["filter_metadata"].pop(NAMESPACE, None)
    return made


def field_changes(before: Any, after: Any, path: str = "") -> Iterator[FieldChange]:
    """Where two JSON documents differ. Items of lists are told apart by their names where all have one, else by
    place."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            inner = f"{path}.{key}" if path else str(key)
            yield from field_changes(before.get(key, _NOTHING), after.get(key, _NOTHING), inner)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _list_changes(before, after, path)
    elif before != after:
        shown = (None if value is _NOTHING else value for value in (before, after))
        yield FieldChange(path, *shown)


def _list_changes(before: list[Any], after: list[Any], path: str) -> Iterator[FieldChange]:
    olds, news = _by_name(before), _by_name(after)
    if olds is None or news is None:
        olds = {str(index): item for index, item in enumerate(before)}
        news = {str(index): item for index, item in enumerate(after)}
    for name in dict.fromkeys((*olds, *news)):
        yield from field_changes(olds.get(name, _NOTHING), news.get(name, _NOTHING), f"{path}[{name}]")
    if list(olds) != list(news) and set(olds) == set(news):
        yield FieldChange(f"{path} (order)", list(olds), list(news))


def _by_name(items: list[Any]) -> Mapping[str, Any] | None:
    if not items or not all(isinstance(item, dict) for item in items):
        return {} if not items else None
    key = next((key for key in _KEYS if all(item.get(key) for item in items)), None)
    if key is None:
        return None
    named = {str(item[key]): item for item in items}
    return named if len(named) == len(items) else None
