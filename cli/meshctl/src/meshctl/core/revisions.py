"""Tables of revisions. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
_SHOWN = 3


def change_rows(changes: Sequence[Mapping[str, Any]]) -> Table:
    """Revisions of the whole store: the first objects of each by name."""
    rows = []
    for change in changes:
        names = [_named(one) for one in change["changes"]]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        rows.append([str(change["revision"]), _time(change), change["author"], ", ".join(names[:_SHOWN]) + more])
    return ["REVISION", "TIME", "AUTHOR", "CHANGES"], rows


def object_rows(entries: Sequence[Mapping[str, Any]]) -> Table:
    """Revisions of one object."""
    rows = [[str(entry["revision"]), _time(entry), entry["author"], entry["type"].lower()] for entry in entries]
    return ["REVISION", "TIME", "AUTHOR", "CHANGE"], rows


def _named(change: Mapping[str, Any]) -> str:
    key = change["key"]
    place = f"{key['namespace']}/" if key["namespace"] else ""
    return f"{change['type'].lower()} {key['plural']} {place}{key['name']}"


def _time(entry: Mapping[str, Any]) -> str:
    return str(entry["commit_time"]).partition(".")[0].replace("T", " ").removesuffix("Z")
