"""What a change would do to proxies, as text. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from meshctl.core.explained import Places, cited

_MARKS = {"added": "+", "removed": "-", "changed": "~"}
_PROXIES = 5
_VALUE = 200
"""Characters of a value that are shown."""


def render_effect(effect: Mapping[str, Any], places: Places) -> Iterator[str]:
    """Lines for people: for each group of proxies the resources, and of changed ones the fields."""
    found = effect["consequences"]
    affected = sum(len(one["proxies"]) for one in found)
    yield f"{affected} of {effect['proxies']} proxies would be sent something new"
    for one in found:
        names = list(one["proxies"])
        more = f" and {len(names) - _PROXIES} more" if len(names) > _PROXIES else ""
        size = sum(change["bytes"] for change in one["resources"])
        yield ""
        yield f"{', '.join(names[:_PROXIES])}{more} ({len(names)} x {size} bytes)"
        for change in one["resources"]:
            yield from _resource_lines(change, places)
        for problem in one["problems"]:
            yield f"  ! {problem}"
    if effect["instances_missing"]:
        yield f"without {', '.join(effect['instances_missing'])}, which did not answer"


def _resource_lines(change: Mapping[str, Any], places: Places) -> Iterator[str]:
    made_by = ", ".join(cited(text, places) for text in change["configs"][:3])
    by = f"  (by {made_by})" if made_by else ""
    yield f"  {_MARKS[change['change']]} {change['type']} {change['name']}{by}"
    for one in change["fields"]:
        yield f"      {one['path']}: {shown(one['before'])} -> {shown(one['after'])}"
    if change["more_fields"]:
        yield f"      and {change['more_fields']} more fields"


def shown(value: Any) -> str:
    """A JSON value in one line of bounded length."""
    if value is None:
        return "(none)"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE else f"{text[:_VALUE]}..."
