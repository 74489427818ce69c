"""The last good configuration: what Envoy's admin interface dumps, turned back into what Pilot once sent.

Versions are kept as Pilot gave them, so that after the hand-back Pilot sends only what differs. A resource that our
messages cannot hold completely gets another version: Pilot then sends it anew instead of leaving the poorer copy.
Pure.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from meshcore.xds import registry
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE

from envoy_bootstrap.core.discovery import Resources, Versioned

CONFIG_DUMP = "/config_dump?include_eds"
_KEEPALIVE_BYTES = 64
"""Per look: an answered ping has 17 bytes (RFC 9113 §6.7), and anything that Pilot says has more than these."""
_ENVOY_OWN_HEALTH = frozenset({"UNHEALTHY", "TIMEOUT", "DEGRADED", "HEALTHY"})


@dataclass(frozen=True, slots=True)
class QuietWatch:
    """Is something new, and has it come to rest? Fed with the bytes that Envoy has received from Pilot."""

    received: int = -1
    pending: bool = False

    def observed(self, received: int) -> "tuple[QuietWatch, bool]":
        """The next state, and whether a snapshot is due: something came earlier and nothing since the last look."""
        moved = self.received < 0 or not 0 <= received - self.received <= _KEEPALIVE_BYTES
        due = self.pending and not moved
        return QuietWatch(received, moved or (self.pending and not due)), due


def resources_of_dump(dump: str) -> Resources:
    """Clusters, endpoints, listeners and routes of a config dump that came from Pilot; static ones are left out."""
    found: dict[str, dict[str, Versioned]] = {}
    for section in json.loads(dump).get("configs", []):
        for type_url, name_field, version, body in _dynamic(section):
            message, complete = _parse(type_url, body)
            name = str(body.get(name_field, ""))
            if type_url == ENDPOINT_TYPE:
                _forget_observations(message)
            resource = Versioned(version if complete else f"{version}~", message.SerializeToString(deterministic=True))
            found.setdefault(type_url, {})[name] = resource
    return found


def _dynamic(section: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    kind = str(section.get("@type", "")).rpartition(".")[2]
    if kind == "ClustersConfigDump":
        for entry in section.get("dynamic_active_clusters", []):
            yield CLUSTER_TYPE, "name", entry.get("version_info", ""), entry["cluster"]
    elif kind == "ListenersConfigDump":
        for entry in section.get("dynamic_listeners", []):
            if state := entry.get("active_state"):
                yield LISTENER_TYPE, "name", state.get("version_info", ""), state["listener"]
    elif kind == "RoutesConfigDump":
        for entry in section.get("dynamic_route_configs", []):
            yield ROUTE_TYPE, "name", entry.get("version_info", ""), entry["route_config"]
    elif kind == "EndpointsConfigDump":
        for entry in section.get("dynamic_endpoint_configs", []):
            yield ENDPOINT_TYPE, "cluster_name", entry.get("version_info", ""), entry["endpoint_config"]


def _parse(type_url: str, body: Mapping[str, Any]) -> tuple[Any, bool]:
    registry.load()
    fields = {key: value for key, value in body.items() if key != "@type"}
    message_class = registry.message_class(type_url)
    try:
        return json_format.ParseDict(fields, message_class()), True
    except json_format.ParseError:
        return json_format.ParseDict(fields, message_class(), ignore_unknown_fields=True), False


def _forget_observations(assignment: Any) -> None:
    """A dump shows what this Envoy saw of its peers; the next one must look for itself. DRAINING was Pilot's word."""
    for locality in assignment.endpoints:
        if (
            locality.load_balancing_weight.value == 0
        ):  # the dump writes a weight that was not given as 0, which is invalid
            locality.ClearField("load_balancing_weight")
        for endpoint in locality.lb_endpoints:
            status = endpoint.DESCRIPTOR.fields_by_name["health_status"].enum_type.values_by_number
            if status[endpoint.health_status].name in _ENVOY_OWN_HEALTH:
                endpoint.ClearField("health_status")
