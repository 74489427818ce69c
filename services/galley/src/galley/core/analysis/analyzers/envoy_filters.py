"""EnvoyFilters whose operation is ignored where it stands, or depends on an order that nobody promises."""

from collections.abc import Iterator, Mapping
from typing import Any

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import Fix, add
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import ENVOY_FILTER
from galley.core.analysis.message import Message, MessageType
from galley.core.analysis.message_types import (
    ADD_MISUSED,
    RELATIVE_OPERATION,
    RELATIVE_OPERATION_WITH_VERSION,
    REMOVE_MISUSED,
    REPLACE_MISUSED,
)
from galley.core.analysis.reading import at, mapping, mappings, number, text

_ROUTES = frozenset({"ROUTE_CONFIGURATION", "HTTP_ROUTE"})
_REPLACEABLE = frozenset({"NETWORK_FILTER", "HTTP_FILTER", "VIRTUAL_HOST"})
_RELATIVE = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "REMOVE", "REPLACE"})
_SET_PRIORITY = Fix("Set a priority, so that the order of the patches is known.", (add(10, "spec", "priority"),))


def check_patches(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """All patches of all filters, each fault once for a filter; what has a proxyVersion is remembered by the name of
    what it patches."""
    versioned: set[str] = set()
    for envoy_filter in inputs.of(ENVOY_FILTER):
        prioritised = number(envoy_filter.spec, "priority") != 0
        said: set[MessageType] = set()
        for index, entry in mappings(envoy_filter.spec, "configPatches"):
            if not isinstance(entry.get("patch"), Mapping):
                break
            name = _patched(entry)
            found = _judge(text(entry, "patch", "operation"), text(entry, "applyTo"), prioritised, name in versioned)
            if found is not None and found not in said:
                said.add(found)
                has_value = at(entry, "patch", "value") is not None
                line = envoy_filter.line_of(f"spec.configPatches[{index}].patch.value") if has_value else 0
                relative = found in (RELATIVE_OPERATION, RELATIVE_OPERATION_WITH_VERSION)
                yield Message(found, envoy_filter, (), line, _SET_PRIORITY if relative else None)
            if text(entry, "match", "proxy", "proxyVersion"):
                versioned.add(name)


def _patched(entry: Mapping[str, Any]) -> str:
    """The name of the filter that a patch brings, else of the one that it matches."""
    value = mapping(entry, "patch", "value")
    if not value:
        return ""
    if value.get("name") is not None:
        return str(value["name"])
    return text(entry, "match", "listener", "filterChain", "filter", "name")


def _judge(operation: str, apply_to: str, prioritised: bool, versioned: bool) -> MessageType | None:
    if operation == "ADD":
        return ADD_MISUSED if apply_to in _ROUTES else None
    if operation == "REMOVE" and apply_to in _ROUTES:
        return REMOVE_MISUSED
    if operation == "REPLACE" and apply_to not in _REPLACEABLE:
        return REPLACE_MISUSED
    if operation not in _RELATIVE or prioritised:
        return None
    return RELATIVE_OPERATION_WITH_VERSION if versioned else RELATIVE_OPERATION
