"""`metadata.managedFields`: who owns which fields since when, read and written as the API has it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from meshcore.errors import ErrorCode, MeshError

from galley.core.apply.fields_v1 import decode_fields, encode_fields
from galley.core.apply.structure import FieldSet

MOST_UPDATERS = 10
ANCIENT = "ancient-changes"
"""Beyond so many managers that update, the oldest are kept together under this name."""


class Operation(StrEnum):
    """How a manager came to its fields."""

    APPLY = "Apply"
    UPDATE = "Update"


_OPERATIONS = frozenset(operation.value for operation in Operation)


@dataclass(frozen=True, slots=True)
class Ownership:
    """One entry: a manager, and the fields it owns."""

    manager: str
    operation: Operation
    api_version: str
    time: str
    fields: FieldSet
    subresource: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it the same entry; who applies has one for all versions."""
        version = "" if self.operation is Operation.APPLY else self.api_version
        return self.manager, self.operation.value, version, self.subresource

    def dump(self) -> dict[str, Any]:
        """The entry in the API's form."""
        entry = entry_of(self.manager, self.operation, self.api_version, self.time, encode_fields(self.fields))
        return {**entry, "subresource": self.subresource} if self.subresource else entry


def entry_of(
    manager: str, operation: Operation, api_version: str, time: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """An entry in the API's form of fields that are encoded already."""
    return {
        "manager": manager,
        "operation": operation.value,
        "apiVersion": api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def parse_managed_fields(entries: Any) -> tuple[Ownership, ...]:
    """Read a document's entries; INVALID for anything that is none."""
    if entries is None:
        return ()
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise MeshError(ErrorCode.INVALID, "metadata.managedFields is not a list")
    return tuple(_parse(entry) for entry in entries)


def _parse(entry: Any) -> Ownership:
    if not isinstance(entry, Mapping) or entry.get("operation") not in _OPERATIONS:
        raise MeshError(ErrorCode.INVALID, "metadata.managedFields has an entry that is neither Apply nor Update")
    if entry.get("fieldsType", "FieldsV1") != "FieldsV1":
        raise MeshError(ErrorCode.INVALID, "metadata.managedFields has an entry that is not FieldsV1")
    texts = {name: entry.get(name) or "" for name in ("manager", "apiVersion", "time", "subresource")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise MeshError(ErrorCode.INVALID, "metadata.managedFields has a name that is not a string")
    return Ownership(
        texts["manager"],
        Operation(entry["operation"]),
        texts["apiVersion"],
        texts["time"],
        decode_fields(entry.get("fieldsV1") or {}),
        texts["subresource"],
    )


def dump_managed_fields(owners: Iterable[Ownership]) -> list[dict[str, Any]]:
    """The entries in their order: who applies first, then by time and name; at most so many that update."""
    held = [owner for owner in owners if owner.fields]
    updaters = sorted((owner for owner in held if owner.operation is Operation.UPDATE), key=lambda owner: owner.time)
    surplus = updaters[: max(0, len(updaters) - MOST_UPDATERS)]
    if surplus:
        surplus = updaters[: len(surplus) + 1]
        fields = frozenset[tuple[str, ...]]().union(*(owner.fields for owner in surplus))
        held = [owner for owner in held if owner not in surplus]
        held.append(replace(surplus[-1], manager=ANCIENT, fields=fields))
    return [owner.dump() for owner in sorted(held, key=lambda one: (one.operation, one.time, one.manager))]
