"""Conditions in the status of objects that say that something was not taken."""

from collections.abc import Iterator, Mapping
from typing import Any

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import (
    AUTHORIZATION_POLICY,
    GRPC_ROUTE,
    HTTP_ROUTE,
    KUBERNETES_GATEWAY,
    SERVICE,
    SERVICE_ENTRY,
    WORKLOAD_ENTRY,
)
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import NEGATIVE_CONDITION
from galley.core.analysis.reading import mapping, mappings, text

_WAYPOINT = frozenset({"istio.io/WaypointBound"})
_GATEWAY_API = frozenset({"Accepted", "Programmed", "ResolvedRefs"})
_REPORTED = {
    SERVICE: _WAYPOINT,
    SERVICE_ENTRY: _WAYPOINT,
    WORKLOAD_ENTRY: _WAYPOINT,
    AUTHORIZATION_POLICY: frozenset({"ZtunnelAccepted", "WaypointAccepted"}),
    KUBERNETES_GATEWAY: _GATEWAY_API,
    HTTP_ROUTE: _GATEWAY_API,
    GRPC_ROUTE: _GATEWAY_API,
}


def check_conditions(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Conditions that are False, and policies of which a waypoint took only a part."""
    for kind, types in _REPORTED.items():
        for resource in inputs.of(kind):
            for condition in _conditions(mapping(resource.body, "status")):
                name, reason = text(condition, "type"), text(condition, "reason")
                negative = name in types and text(condition, "status") == "False"
                partial = kind == AUTHORIZATION_POLICY and name == "WaypointAccepted" and reason == "PartiallyInvalid"
                if negative or partial:
                    yield Message(NEGATIVE_CONDITION, resource, (name, reason, text(condition, "message")))


def _conditions(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (condition for _, condition in mappings(status, "conditions"))
    for _, parent in mappings(status, "parents"):
        yield from (condition for _, condition in mappings(parent, "conditions"))
