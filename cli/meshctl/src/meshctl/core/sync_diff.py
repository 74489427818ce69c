"""What a proxy was sent against what its Envoy runs, from the dumps of both. Pure."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pilot.core.resource_diff import field_changes, without_origins

from meshctl.core import config_dump
from meshctl.core.effects import shown

Dump = Mapping[str, Any]
FIELDS = 10
"""Differences of one resource that are shown."""
SECTIONS: Mapping[str, Callable[[Dump], list[Mapping[str, Any]]]] = {
    "Clusters": lambda dump: config_dump.clusters(dump, static=False),
    "Listeners": lambda dump: config_dump.listeners(dump, static=False),
    "Routes": lambda dump: config_dump.routes(dump, static=False),
}


def render_comparison(sent: Dump, running: Dump) -> Iterator[str]:
    """istioctl's words: `Clusters Match`, or what differs: in Envoy only, sent only, and field by field."""
    for section, read in SECTIONS.items():
        lines = list(_differences(_named(read(sent)), _named(read(running))))
        yield f"{section} {'do not match' if lines else 'Match'}"
        yield from lines


def _named(found: list[Mapping[str, Any]]) -> dict[str, Any]:
    plain = [without_origins({key: value for key, value in item.items() if key != "@type"}) for item in found]
    return {str(item.get("name", "")): item for item in plain}


def _differences(sent: Mapping[str, Any], running: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*sent, *running}):
        if name not in running:
            yield f"  - {name} was sent, and Envoy does not have it"
        elif name not in sent:
            yield f"  + {name} is in Envoy, and would not be sent"
        else:
            changes = list(field_changes(sent[name], running[name]))
            if changes:
                yield f"  ~ {name}"
            for one in changes[:FIELDS]:
                yield f"      {one.path}: sent {shown(one.before)}, Envoy has {shown(one.after)}"
            if len(changes) > FIELDS:
                yield f"      and {len(changes) - FIELDS} more fields"
