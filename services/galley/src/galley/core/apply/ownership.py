"""What a write does to the ownership of fields: an applied configuration, or any other write.

1. Who applies owns exactly the fields of the configuration; a field that it no longer names is removed unless somebody
   else owns it too.
2. Giving a field another value than its owner gave it is a conflict; with `force` it changes hands. An equal value is
   shared.
3. Any other write owns what it changed, and takes it from whoever had it.
4. A write that changes neither object nor ownership changes no time either.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from galley.core.apply.differences import all_fields, differences, fields_of
from galley.core.apply.managers import Operation, Ownership
from galley.core.apply.merging import merge, without
from galley.core.apply.structure import NOTHING, FieldSet, Path, Structure
from galley.core.change_set import SERVER_METADATA

Document = Mapping[str, Any]

BEFORE_FIRST_APPLY = "before-first-apply"
"""Owns the fields of an object of which nobody knows who wrote it."""

_SERVER_METADATA = frozenset({*SERVER_METADATA, "name", "namespace", "managedFields", "deletionTimestamp"}) | {
    "deletionGracePeriodSeconds"
}
_NOBODYS: FieldSet = frozenset({("f:metadata",)})


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that somebody else gave another value."""

    owner: Ownership
    field: Path


@dataclass(frozen=True, slots=True)
class Applied:
    """The object with a configuration in it, as far as it can be said before the server's defaults."""

    document: dict[str, Any]
    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes, in which version, and when."""

    name: str
    api_version: str
    time: str


def ownable(document: Document | None) -> dict[str, Any]:
    """The part of an object that can be owned: not its type, its status, and what the server sets."""
    if document is None:
        return {}
    result = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "status")}
    metadata = document.get("metadata")
    if isinstance(metadata, Mapping):
        result["metadata"] = {key: value for key, value in metadata.items() if key not in _SERVER_METADATA}
    return result


def owners_before(live: Document | None, owners: Iterable[Ownership], structure: Structure) -> tuple[Ownership, ...]:
    """The known owners, or the one that stands for all when none is known."""
    known = tuple(owners)
    if known or live is None:
        return known
    fields = all_fields(ownable(live), structure) - _NOBODYS
    created = str((live.get("metadata") or {}).get("creationTimestamp") or "")
    return (Ownership(BEFORE_FIRST_APPLY, Operation.UPDATE, str(live.get("apiVersion")), created, fields),)


def apply_configuration(
    live: Document | None, configuration: Document, owners: tuple[Ownership, ...], manager: str, structure: Structure
) -> Applied:
    """Merge a configuration into the live object (None: it becomes the object) and find the conflicts."""
    if live is None:
        return Applied(dict(configuration), ())
    wanted = fields_of(ownable(configuration), structure)
    mine = _applied_by(manager, owners)
    others = [owner for owner in owners if owner is not mine]
    merged = merge(live, configuration, structure)
    if mine is not None:
        kept = wanted.union(*(owner.fields for owner in others))
        merged = without(merged, mine.fields - wanted, kept, structure)
    written = differences(ownable(live), ownable(merged), structure).written
    conflicts = tuple(
        Conflict(owner, field)
        for owner in sorted(others, key=lambda one: one.identity)
        for field in sorted(owner.fields & written)
        if not _only_a_container(field, owner.fields & written)
    )
    return Applied(merged, conflicts)


def _only_a_container(field: Path, fields: FieldSet) -> bool:
    """Whether a longer path says the same better."""
    return any(len(other) > len(field) and other[: len(field)] == field for other in fields)


def owners_after_apply(
    live: Document | None,
    configuration: Document,
    result: Document,
    owners: Iterable[Ownership],
    manager: Manager,
    structure: Structure,
) -> tuple[Ownership, ...]:
    """Who owns what when `configuration` has made `result` of the live object."""
    after = ownable(result)
    wanted = (fields_of(ownable(configuration), structure) & all_fields(after, structure)) - _NOBODYS
    known = tuple(owners)
    mine = _applied_by(manager.name, known)
    change = differences(ownable(live), after, structure)
    others = [
        replace(owner, fields=owner.fields - change.written - change.removed) for owner in known if owner is not mine
    ]
    unchanged = mine is not None and mine.fields == wanted and not (change.written or change.removed)
    time = mine.time if mine is not None and unchanged else manager.time
    version = mine.api_version if mine is not None and unchanged else manager.api_version
    return (*others, Ownership(manager.name, Operation.APPLY, version, time, wanted))


def owners_after_update(
    before: Document | None,
    after: Document,
    owners: Iterable[Ownership],
    manager: Manager,
    structure: Structure,
) -> tuple[Ownership, ...]:
    """Who owns what after a write that is no apply."""
    change = differences(ownable(before), ownable(after), structure)
    taken = change.written - _NOBODYS
    mine = Ownership(manager.name, Operation.UPDATE, manager.api_version, manager.time, NOTHING)
    result = []
    for owner in owners:
        if owner.identity == mine.identity:
            mine = replace(owner, time=manager.time if change.written or change.removed else owner.time)
        else:
            result.append(replace(owner, fields=owner.fields - taken - change.removed))
    return (*result, replace(mine, fields=(mine.fields | taken) - change.removed))


def _applied_by(manager: str, owners: Iterable[Ownership]) -> Ownership | None:
    return next(
        (
            owner
            for owner in owners
            if owner.manager == manager and owner.operation is Operation.APPLY and not owner.subresource
        ),
        None,
    )
