"""Ownership in whole documents: the entries in, the entries out, and the refusals of the API about them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from galley.core.apply.fields_v1 import encode_all, field_text
from galley.core.apply.managers import (
    Operation,
    Ownership,
    dump_managed_fields,
    entry_of,
    parse_managed_fields,
)
from galley.core.apply.ownership import (
    Conflict,
    Manager,
    apply_configuration,
    ownable,
    owners_after_apply,
    owners_after_update,
    owners_before,
)
from galley.core.apply.structure import Structure
from galley.core.kube_api import status
from galley.core.times import time_text

Document = Mapping[str, Any]

LONGEST_MANAGER = 128


def manager_of(field_manager: str, user_agent: str) -> str:
    """Who writes: the `fieldManager` of the query, else what the User-Agent says before its version."""
    if len(field_manager) > LONGEST_MANAGER or not field_manager.isprintable():
        message = f"Invalid value: must be at most {LONGEST_MANAGER} printable characters"
        raise status.invalid_options("fieldManager", "FieldValueInvalid", message)
    name = field_manager or user_agent.partition("/")[0].strip()
    if not name.isprintable():
        name = "".join(letter for letter in name if letter.isprintable())
    return name[:LONGEST_MANAGER] or "unknown"


def check_configuration(configuration: Any, api_version: str, name: str) -> None:
    """400 for a body that is no configuration of the object that the URL names."""
    if not isinstance(configuration, Mapping) or not isinstance(configuration.get("metadata") or {}, Mapping):
        raise status.bad_request("the body of an apply patch is an object with apiVersion, kind and metadata")
    found = configuration.get("apiVersion")
    if found != api_version:
        raise status.bad_request(
            f"Incorrect version specified in apply patch. Specified patch version: {found}, expected: {api_version}"
        )
    metadata = configuration.get("metadata") or {}
    if metadata.get("managedFields"):
        raise status.bad_request("metadata.managedFields must be nil")
    if metadata.get("name", name) != name:
        raise status.bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
        )


def owners_of(document: Document | None, structure: Structure) -> tuple[Ownership, ...]:
    """The owners of a stored object's fields."""
    if document is None:
        return ()
    return owners_before(document, parse_managed_fields(document["metadata"].get("managedFields")), structure)


def merged(
    live: Document | None, configuration: Document, manager: str, structure: Structure, *, force: bool
) -> dict[str, Any]:
    """The object that an applied configuration asks for; 409 with every conflict, unless it is forced."""
    applied = apply_configuration(live, configuration, owners_of(live, structure), manager, structure)
    if applied.conflicts and not force:
        raise conflict_error(applied.conflicts)
    return applied.document


def with_applied(
    document: Document,
    live: Document | None,
    configuration: Document,
    manager: Manager,
    structure: Structure,
) -> dict[str, Any]:
    """The document to store, with its managers, after an apply."""
    owners = owners_after_apply(live, configuration, document, owners_of(live, structure), manager, structure)
    return with_owners(document, owners)


def with_updated(
    document: Document, live: Document | None, given: Any, manager: Manager, structure: Structure
) -> dict[str, Any]:
    """The document to store, with its managers, after any other write.

    `given` is the managedFields that the write itself carries: valid ones replace the stored ones, `[{}]` forgets all.
    """
    if given == [{}]:
        return with_owners(document, ())
    owners = _given_or_live(given, live, structure)
    if live is None and not owners:
        return _with_entries(document, _entries_of_author(document, manager, structure))
    return with_owners(document, owners_after_update(live, document, owners, manager, structure))


def _entries_of_author(document: Document, manager: Manager, structure: Structure) -> list[dict[str, Any]]:
    """Everything in a new object is its author's; as `owners_after_update` would find it by comparing with nothing."""
    fields = encode_all(ownable(document), structure)
    fields["f:metadata"].pop(".", None)
    if not fields["f:metadata"]:
        del fields["f:metadata"]
    if not fields:
        return []
    return [entry_of(manager.name, Operation.UPDATE, manager.api_version, manager.time, fields)]


def _given_or_live(given: Any, live: Document | None, structure: Structure) -> tuple[Ownership, ...]:
    """A client that knows nothing of managers must not delete them: none, or unreadable ones, are the stored ones."""
    try:
        return parse_managed_fields(given or None) or owners_of(live, structure)
    except MeshError:
        return owners_of(live, structure)


def with_owners(document: Document, owners: Iterable[Ownership]) -> dict[str, Any]:
    """The document with these owners and no others."""
    return _with_entries(document, dump_managed_fields(owners))


def _with_entries(document: Document, entries: list[dict[str, Any]]) -> dict[str, Any]:
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    if entries:
        metadata["managedFields"] = entries
    return {**document, "metadata": metadata}


def manager_at(name: str, api_version: str, now: datetime) -> Manager:
    """A manager that writes now."""
    return Manager(name, api_version, time_text(now))


def conflict_error(conflicts: Iterable[Conflict]) -> status.StatusError:
    """409 in the API server's words, with a cause for every field."""
    found = list(conflicts)
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {_owner_text(conflict.owner)}",
            "field": field_text(conflict.field),
        }
        for conflict in found
    ]
    if len(found) == 1:
        text = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        by_owner: dict[str, list[str]] = {}
        for conflict in found:
            by_owner.setdefault(_owner_text(conflict.owner), []).append(field_text(conflict.field))
        lines = [
            line
            for owner in sorted(by_owner)
            for line in (f"conflicts with {owner}:", *(f"- {field}" for field in by_owner[owner]))
        ]
        text = f"{len(found)} conflicts: " + "\n".join(lines)
    return status.StatusError(ErrorCode.CONFLICT, 409, "Conflict", f"Apply failed with {text}", {"causes": causes})


def _owner_text(owner: Ownership) -> str:
    text = f'"{owner.manager}"'
    if owner.subresource:
        text += f' with subresource "{owner.subresource}"'
    return f"{text} using {owner.api_version}" if owner.operation is Operation.UPDATE else text
