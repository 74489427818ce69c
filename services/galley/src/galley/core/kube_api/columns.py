"""Columns made from a path into the object."""

import json
from typing import Any

from galley.core.kube_api.tables import Cell, Column, Document


def value_at(document: Document, *path: str) -> Any:
    """The value at a path, None when any part of it is missing."""
    value: Any = document
    for part in path:
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def field(name: str, *path: str, wide: bool = False, description: str = "") -> Column:
    """A column that shows one field; lists and maps as JSON, as the API server shows custom resources."""

    def cell(document: Document) -> Cell:
        value = value_at(document, *path)
        return value if value is None or isinstance(value, str | int) else json.dumps(value, separators=(",", ":"))

    return Column(name, cell, description=description, wide=wide, path=path)


def count(name: str, *paths: str) -> Column:
    """How many items the fields have together."""
    return Column(name, lambda document: sum(len(document.get(path) or ()) for path in paths), type="integer")


def short_list(items: list[str], most: int = 3) -> str:
    """A few items and how many more there are; `<none>` for nothing."""
    if not items:
        return "<none>"
    shown = ",".join(items[:most])
    return f"{shown} + {len(items) - most} more..." if len(items) > most else shown
