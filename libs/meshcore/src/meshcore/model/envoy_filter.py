"""EnvoyFilter: patches of what is generated for Envoy (networking.istio.io)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from meshcore.model.base import Int32, MeshModel, PortNumber, StatusObject, UInt32, WorkloadSelector
from meshcore.model.cel import Cel, has
from meshcore.model.policy_target import TargetReferences


class ApplyTo(StrEnum):
    """What a patch changes."""

    INVALID = "INVALID"
    LISTENER = "LISTENER"
    FILTER_CHAIN = "FILTER_CHAIN"
    NETWORK_FILTER = "NETWORK_FILTER"
    HTTP_FILTER = "HTTP_FILTER"
    ROUTE_CONFIGURATION = "ROUTE_CONFIGURATION"
    VIRTUAL_HOST = "VIRTUAL_HOST"
    HTTP_ROUTE = "HTTP_ROUTE"
    CLUSTER = "CLUSTER"
    EXTENSION_CONFIG = "EXTENSION_CONFIG"
    BOOTSTRAP = "BOOTSTRAP"
    LISTENER_FILTER = "LISTENER_FILTER"


class PatchContext(StrEnum):
    """For which proxies, and which side of them."""

    ANY = "ANY"
    SIDECAR_INBOUND = "SIDECAR_INBOUND"
    SIDECAR_OUTBOUND = "SIDECAR_OUTBOUND"
    GATEWAY = "GATEWAY"
    WAYPOINT = "WAYPOINT"


class PatchOperation(StrEnum):
    """What is done with the value."""

    INVALID = "INVALID"
    MERGE = "MERGE"
    ADD = "ADD"
    REMOVE = "REMOVE"
    INSERT_BEFORE = "INSERT_BEFORE"
    INSERT_AFTER = "INSERT_AFTER"
    INSERT_FIRST = "INSERT_FIRST"
    REPLACE = "REPLACE"
    MERGE_AND_REPLACE_LIST = "MERGE_AND_REPLACE_LIST"


class FilterClass(StrEnum):
    """Where an added filter stands among the generated ones."""

    UNSPECIFIED = "UNSPECIFIED"
    AUTHN = "AUTHN"
    AUTHZ = "AUTHZ"
    STATS = "STATS"


class RouteAction(StrEnum):
    """What a matched route does."""

    ANY = "ANY"
    ROUTE = "ROUTE"
    REDIRECT = "REDIRECT"
    DIRECT_RESPONSE = "DIRECT_RESPONSE"


class ProxyMatch(MeshModel):
    """Proxies by version (a regular expression) and node metadata."""

    proxy_version: str = ""
    metadata: Mapping[str, str] = {}


class ClusterMatch(MeshModel):
    """A generated cluster."""

    port_number: UInt32 = 0
    service: str = ""
    subset: str = ""
    name: str = ""


class RouteMatch(MeshModel):
    """A route by its name and action."""

    name: str = ""
    action: RouteAction = RouteAction.ANY


class VirtualHostMatch(MeshModel):
    """A virtual host, and a route in it."""

    name: str = ""
    domain_name: str = ""
    route: RouteMatch | None = None


class RouteConfigurationMatch(MeshModel):
    """A generated route configuration."""

    port_number: UInt32 = 0
    port_name: str = ""
    gateway: str = ""
    vhost: VirtualHostMatch | None = None
    name: str = ""


class SubFilterMatch(MeshModel):
    """A filter inside the filter, which is the HTTP connection manager."""

    name: str = ""


class FilterMatch(MeshModel):
    """A filter of the chain by its name."""

    name: str = ""
    sub_filter: SubFilterMatch | None = None


class FilterChainMatch(MeshModel):
    """A filter chain, and a filter in it."""

    name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    application_protocols: str = ""
    filter: FilterMatch | None = None
    destination_port: UInt32 = 0


class ListenerMatch(MeshModel):
    """A generated listener."""

    port_number: UInt32 = 0
    port_name: str = ""
    filter_chain: FilterChainMatch | None = None
    listener_filter: str = ""
    name: str = ""


class WaypointRouteMatch(MeshModel):
    """A route of a waypoint."""

    name: str = ""


class WaypointMatch(MeshModel):
    """What a waypoint serves on one port."""

    port_number: PortNumber = 0
    filter: FilterMatch | None = None
    route: WaypointRouteMatch | None = None


class ConfigObjectMatch(MeshModel):
    """Which generated objects are patched; without one, all that `applyTo` names."""

    context: PatchContext = PatchContext.ANY
    proxy: ProxyMatch | None = None
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None
    waypoint: WaypointMatch | None = None
    one_of = (("listener", "route_configuration", "cluster", "waypoint"),)
    cel = (
        Cel(
            'has(self.context) ? ((self.context == "WAYPOINT") ? has(self.waypoint) : !has(self.waypoint)) : '
            "!has(self.waypoint)",
            "only support waypointMatch when context is WAYPOINT",
            lambda match: has(match, "waypoint") == (match.context is PatchContext.WAYPOINT),
        ),
    )


class Patch(MeshModel):
    """The operation, and a part of Envoy's own configuration."""

    operation: PatchOperation = PatchOperation.INVALID
    value: Mapping[str, Any] | None = None
    filter_class: FilterClass = FilterClass.UNSPECIFIED


class ConfigPatch(MeshModel):
    """One change of all objects that match."""

    apply_to: ApplyTo = ApplyTo.INVALID
    match: ConfigObjectMatch | None = None
    patch: Patch | None = None


class EnvoyFilterSpec(MeshModel):
    """Patches, in order of `priority` (0 by default; the root namespace's first) and then of creation."""

    workload_selector: WorkloadSelector | None = None
    target_refs: TargetReferences = ()
    config_patches: tuple[ConfigPatch, ...] = ()
    priority: Int32 = 0
    cel = (
        Cel(
            "(has(self.workloadSelector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
            "only one of targetRefs or workloadSelector can be set",
            lambda spec: not (has(spec, "workload_selector") and has(spec, "target_refs")),
        ),
    )


class EnvoyFilter(StatusObject):
    """Patches of what is generated for Envoy."""

    spec: EnvoyFilterSpec = EnvoyFilterSpec()
