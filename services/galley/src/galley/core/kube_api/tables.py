"""Tables: the columns that `kubectl get` prints, and one row per object.

Every row carries an object with its kind (kubectl does not recognise the table otherwise), metadata alone by default.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Document = Mapping[str, Any]
Cell = str | int | bool | None

API_VERSION = "meta.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `wide` ones show with `-o wide` only. `cell` reads the value out of an object."""

    name: str
    cell: Callable[[Document], Cell]
    type: str = "string"
    description: str = ""
    wide: bool = False
    path: tuple[str, ...] = ()
    """The field that it shows, where it shows one as it is."""


def table(
    documents: Iterable[Document],
    columns: tuple[Column, ...],
    now: datetime,
    list_metadata: Document,
    *,
    include_object: str = "Metadata",
) -> dict[str, Any]:
    """The table of these objects; `include_object` is Metadata, Object or None (the API's words)."""
    first = {"name": "Name", "type": "string", "format": "name", "description": "Name of the object", "priority": 0}
    last = {"name": "Age", "type": "string", "format": "", "description": "Time since its creation", "priority": 0}
    definitions = [first, *(_definition(column) for column in columns if not column.wide), last]
    definitions += [_definition(column) for column in columns if column.wide]
    return {
        "kind": "Table",
        "apiVersion": API_VERSION,
        "metadata": dict(list_metadata),
        "columnDefinitions": definitions,
        "rows": [_row(document, columns, now, include_object) for document in documents],
    }


def _definition(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "format": "",
        "description": column.description or column.name,
        "priority": 1 if column.wide else 0,
    }


def _row(document: Document, columns: tuple[Column, ...], now: datetime, include_object: str) -> dict[str, Any]:
    metadata = document.get("metadata") or {}
    cells: list[Cell] = [metadata.get("name", "")]
    cells += [column.cell(document) for column in columns if not column.wide]
    cells.append(age(metadata.get("creationTimestamp"), now))
    cells += [column.cell(document) for column in columns if column.wide]
    shown: Any = None
    if include_object == "Object":
        shown = document
    elif include_object != "None":
        shown = partial_metadata(document)
    return {"cells": cells, "object": shown}


def partial_metadata(document: Document) -> dict[str, Any]:
    """The object without anything but its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": API_VERSION, "metadata": document.get("metadata") or {}}


def age(created: str | None, now: datetime) -> str:
    """How long ago, in kubectl's short form: `5s`, `3m20s`, `2h`, `4d`."""
    if not created:
        return "<unknown>"
    seconds = max(0, int((now - datetime.fromisoformat(created)).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y"
