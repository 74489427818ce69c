"""The last good configuration: what Envoy's admin interface dumps, turned back into what Pilot once sent.

Versions are kept as Pilot gave them, so that after the hand-back Pilot sends only what differs. A resource that our
messages cannot hold completely gets another version: Pilot then sends it anew instead of leaving the poorer copy.
Pure.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf import json_format
from meshcore.xds import registry
from meshcore.xds.stats_scope import restore_stats_scope, untold_stats_scope
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, EXTENSION_CONFIG_TYPE, LISTENER_TYPE, ROUTE_TYPE

from envoy_bootstrap.core.discovery import Resources, Versioned

CONFIG_DUMP = "/config_dump?include_eds"
_KEEPALIVE_BYTES = 64
"""Per look: an answered ping has 17 bytes (RFC 9113 §6.7), and anything that Pilot says has more than these."""
LOOKS_WITHOUT_REST = 15
BYTES_PER_LOOK = 640_000
"""Of a dump that was taken, for each look until the next: Envoy's main thread, which takes config meanwhile, makes a
megabyte in 0.03 s, so that it spends a hundredth of its time on dumps."""
LONGEST_PAUSE = 150
"""Looks, however large the configuration is."""
_ENVOY_OWN_HEALTH = frozenset({"UNHEALTHY", "TIMEOUT", "DEGRADED", "HEALTHY"})


_SECTIONS = {
    "ClustersConfigDump": ("dynamic_active_clusters", "cluster", CLUSTER_TYPE, "name"),
    "ListenersConfigDump": ("dynamic_listeners", "listener", LISTENER_TYPE, "name"),
    "RoutesConfigDump": ("dynamic_route_configs", "route_config", ROUTE_TYPE, "name"),
    "EndpointsConfigDump": ("dynamic_endpoint_configs", "endpoint_config", ENDPOINT_TYPE, "cluster_name"),
    "EcdsConfigDump": ("ecds_filters", "ecds_filter", EXTENSION_CONFIG_TYPE, "name"),
}
"""What Pilot sent, by section of the dump: the list, the resource in each entry, its type, the field of its name."""


@dataclass(frozen=True, slots=True)
class QuietWatch:
    """Is something new, and is it time to keep it? Fed with the bytes that Envoy has received from Pilot.

    Something new is kept once it has come to rest, since a change may be in several messages; in a mesh that never
    rests, after `LOOKS_WITHOUT_REST`, since a configuration that is half a minute old is better than none. A large one
    is not taken again at once: all Envoys of a mesh are told of a change at one time, and those of a machine share it.
    """

    received: int = -1
    waited: int = 0
    """Looks since something came that has not been kept."""
    pause: int = 0
    """Looks until the next snapshot may be due."""

    @property
    def pending(self) -> bool:
        """Whether something came that has not been kept."""
        return self.waited > 0

    def observed(self, received: int) -> "tuple[QuietWatch, bool]":
        """The next state, and whether a snapshot is due now."""
        moved = self.received < 0 or not 0 <= received - self.received <= _KEEPALIVE_BYTES
        pause = max(0, self.pause - 1)
        due = self.pending and not pause and (not moved or self.waited >= LOOKS_WITHOUT_REST)
        waited = 0 if due else self.waited
        if moved or waited:
            waited += 1
        return QuietWatch(received, waited, pause), due

    def taken(self, size: int) -> "QuietWatch":
        """After a dump of so many bytes."""
        return replace(self, pause=min(size // BYTES_PER_LOOK, LONGEST_PAUSE))

    def failed(self) -> "QuietWatch":
        """After a dump that Envoy did not give: it is still to be taken, when Envoy has less to do."""
        return replace(self, waited=max(1, self.waited), pause=LOOKS_WITHOUT_REST)


def resources_of_dump(dump: str, left_out: list[str] | None = None) -> Resources:
    """Everything of a config dump that came from Pilot, not what is static.

    A resource of which our messages cannot hold a part at all is left out rather than served without that part;
    `left_out` is told why.
    """
    found: dict[str, dict[str, Versioned]] = {}
    for section in json.loads(dump).get("configs", []):
        for type_url, name_field, version, body in dynamic(section):
            name = str(body.get(name_field, ""))
            try:
                message, complete = _parse(type_url, body)
            except json_format.ParseError as error:
                if left_out is not None:
                    left_out.append(f"{name}: {error}")
                continue
            if type_url == ENDPOINT_TYPE:
                _forget_observations(message)
            resource = Versioned(version if complete else f"{version}~", message.SerializeToString(deterministic=True))
            found.setdefault(type_url, {})[name] = resource
    return found


def dynamic(section: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """Type URL, name of the field with the name, version and body of what is in force and came from Pilot."""
    kind = str(section.get("@type", "")).rpartition(".")[2]
    if kind not in _SECTIONS:
        return
    entries, key, type_url, name_field = _SECTIONS[kind]
    for entry in section.get(entries, []):
        state = entry if type_url != LISTENER_TYPE else entry.get("active_state")
        if state:
            yield type_url, name_field, state.get("version_info", ""), state[key]


def objects_in(dump: str) -> Iterator[Mapping[str, Any]]:
    """Every JSON object, at any depth, of what is in force and came from Pilot."""
    for section in json.loads(dump).get("configs", []):
        for _, _, _, body in dynamic(section):
            yield from _objects(body)


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(item)


def _parse(type_url: str, body: Mapping[str, Any]) -> tuple[Any, bool]:
    registry.import_types(body)
    fields = untold_stats_scope({key: value for key, value in body.items() if key != "@type"})
    message, complete = registry.message_class(type_url)(), True
    try:
        json_format.ParseDict(fields, message)
    except json_format.ParseError:
        message, complete = registry.message_class(type_url)(), False
        json_format.ParseDict(fields, message, ignore_unknown_fields=True)
    restore_stats_scope(message)
    return message, complete


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
