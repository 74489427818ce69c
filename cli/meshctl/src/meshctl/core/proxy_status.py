"""The tables of `meshctl proxy-status`, from Pilot's `/debug/syncz`. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from meshctl.core.explained import cited

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
Row = Mapping[str, Any]

TYPES = ("cds", "lds", "eds", "rds", "ecds")
"""In the order of istioctl's columns."""
ERROR_LIMIT = 300
"""Characters of an Envoy's error that are shown; some hold the whole resource."""


def proxy_status_table(rows: Iterable[Row]) -> Table:
    """istioctl's table: which types each proxy takes."""
    lines = []
    for row in rows:
        types = [name.upper() for name in TYPES if name in row.get("resources", {})]
        lines.append((*_who(row), *_by(row), f"{len(types)} ({','.join(types)})"))
    return ("NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"), sorted(lines)


def sync_table(rows: Iterable[Row]) -> Table:
    """The verbose table: whether each type is in sync."""
    lines = []
    for row in rows:
        states = [sync_state(row.get("resources", {}).get(name)) for name in TYPES]
        lines.append((*_who(row), *states, *_by(row)))
    return ("NAME", "CLUSTER", *(name.upper() for name in TYPES), "ISTIOD", "VERSION"), sorted(lines)


def sync_state(resource: Mapping[str, Any] | None) -> str:
    """SYNCED, STALE (sent, not acknowledged), NOT SENT, IGNORED (never asked for) or ERROR (refused)."""
    if resource is None:
        return "IGNORED"
    if resource.get("lastError"):
        return "ERROR"
    if not resource.get("sent"):
        return "NOT SENT"
    return "STALE" if resource.get("pending") else "SYNCED"


def refusals(rows: Iterable[Row]) -> list[str]:
    """One line for each type that a proxy refused, with the beginning of what its Envoy said."""
    lines = []
    for row in rows:
        for name, resource in row.get("resources", {}).items():
            said = " ".join(str(resource.get("lastError") or "").split())
            if said:
                what = f"its {name.upper()}" + "".join(f" {rejected}" for rejected in resource.get("rejected", ()))
                held = resource.get("heldBack") or ()
                keeps = "takes all but what is held back" if held else "keeps what it had"
                lines.append(f"{row.get('proxy')} refused {what} and {keeps}: {said[:ERROR_LIMIT]}")
                lines += [f"{row.get('proxy')} is not given {part}" for part in held]
                lines += [
                    f"{row.get('proxy')} was sent it for {cited(text, {})}" for text in resource.get("configs", ())
                ]
    return sorted(lines)


def _who(row: Row) -> tuple[str, str]:
    return str(row.get("proxy", "")), str(row.get("cluster_id", ""))


def _by(row: Row) -> tuple[str, str]:
    return str(row.get("pilot", "")), str(row.get("istio_version", ""))
