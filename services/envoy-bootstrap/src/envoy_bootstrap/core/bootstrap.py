"""Render Envoy's bootstrap: what a proxy knows before Pilot tells it anything.

Pure. Always JSON: YAML readers disagree about unquoted words (`n`, `1.10`), and node ids are free text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from meshcore.xds import registry
from meshcore.xds.merging import merge
from meshcore.xds.names import FILES_SDS_CLUSTER, SDS_CLUSTER

from envoy_bootstrap.core import reporting_services, static_clusters, static_listeners
from envoy_bootstrap.core.addresses import HostPort, UnixSocket, typed
from envoy_bootstrap.core.environment import MAX_CONNECTIONS
from envoy_bootstrap.core.reporting_services import ReportingServices
from envoy_bootstrap.core.runtime_layers import layered_runtime
from envoy_bootstrap.core.stats_config import StatsInclusion, stats_config, stats_intervals

_LOG_FORMAT = "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t"


@dataclass(frozen=True, slots=True)
class BootstrapInputs:
    """Everything a bootstrap depends on.

    `node` is Envoy's Node in JSON; `listen_host` is where 15090 and 15021 bind: every address, or the workload's own
    where several workloads share one machine; `pilot_endpoints` is the file with the addresses of a Pilot with a name.
    """

    node: Mapping[str, Any]
    pilot: HostPort
    pilot_sans: tuple[str, ...]
    pilot_endpoints: str
    agent_ads: UnixSocket
    agent_sds: UnixSocket
    agent_audit: UnixSocket
    agent_extensions: UnixSocket
    admin: UnixSocket | HostPort
    status: HostPort
    listen_host: str
    foreign_sds: UnixSocket | None = None
    """Where somebody else gives the workload its certificates; None: the agent does."""
    agent_files: UnixSocket | None = None
    """The agent's socket for files, when there is a foreign one."""
    health_port: int = 15021
    prometheus_port: int = 15090
    stats: StatsInclusion = field(default_factory=StatsInclusion)
    runtime_values: Mapping[str, str] = field(default_factory=dict)
    max_connections: int = MAX_CONNECTIONS
    reporting: ReportingServices = field(default_factory=ReportingServices)
    lookup_family: str = "V4_ONLY"
    """Which addresses the names of those services are resolved to."""
    outlier_log: str = ""
    """File that Envoy writes ejections of endpoints to; empty: none."""
    compliance_policy: str = ""
    load_stats: Mapping[str, Any] = field(default_factory=dict)
    """Envoy's ApiConfigSource of a load reporting service."""


def render_bootstrap(inputs: BootstrapInputs) -> dict[str, Any]:
    """The bootstrap as a JSON object with proto field names."""
    cluster_name = str(inputs.node.get("cluster", ""))
    tracing = reporting_services.tracing(inputs.reporting, cluster_name)
    sinks = reporting_services.stats_sinks(inputs.reporting)
    manager = _cluster_manager(inputs)
    own = SDS_CLUSTER if inputs.foreign_sds is None else static_clusters.PILOT_SDS_CLUSTER
    files = SDS_CLUSTER if inputs.foreign_sds is None else FILES_SDS_CLUSTER
    return {
        "application_log_config": {"log_format": {"text_format": _LOG_FORMAT}},
        "node": dict(inputs.node),
        "layered_runtime": layered_runtime(inputs.runtime_values, inputs.compliance_policy),
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": typed(
                    "envoy.extensions.bootstrap.internal_listener.v3.InternalListener", {"buffer_size_kb": 64}
                ),
            }
        ],
        "stats_config": stats_config(inputs.stats),
        **stats_intervals(inputs.stats),
        **({"stats_sinks": sinks} if sinks else {}),
        **({"tracing": tracing} if tracing else {}),
        "admin": _admin(inputs.admin),
        "dynamic_resources": _dynamic_resources(),
        "static_resources": {
            "clusters": [
                static_clusters.prometheus_cluster(inputs.admin),
                static_clusters.agent_cluster(inputs.status),
                *static_clusters.sds_clusters(inputs.agent_sds, inputs.foreign_sds, inputs.agent_files),
                static_clusters.audit_cluster(inputs.agent_audit),
                static_clusters.extensions_cluster(inputs.agent_extensions),
                static_clusters.xds_cluster(
                    inputs.pilot,
                    inputs.pilot_sans,
                    inputs.agent_ads,
                    inputs.pilot_endpoints,
                    own,
                ),
                *reporting_services.clusters(inputs.reporting, inputs.lookup_family, files),
            ],
            "listeners": [
                static_listeners.prometheus_listener(
                    HostPort(inputs.listen_host, inputs.prometheus_port), compress=inputs.stats.compressed
                ),
                static_listeners.health_listener(HostPort(inputs.listen_host, inputs.health_port)),
            ],
        },
        "overload_manager": _overload_manager(inputs.max_connections),
        **({"cluster_manager": manager} if manager else {}),
        # No deferred cluster creation: a config dump leaves out the endpoints of a cluster that nobody has used yet,
        # and the last good configuration is made of such dumps.
        "deferred_stat_options": {"enable_deferred_creation_stats": True},
    }


def customised(bootstrap: Mapping[str, Any], custom: Mapping[str, Any]) -> dict[str, Any]:
    """The operator's own bootstrap, with what this proxy cannot be run without: its node, its admin socket, where its
    configuration comes from, and those of the agent's clusters and listeners that `custom` does not have."""
    static = custom.get("static_resources") or {}
    made = {}
    for kind, ours in bootstrap["static_resources"].items():
        theirs = list(static.get(kind) or ())
        names = {item.get("name") for item in theirs if isinstance(item, dict)}
        made[kind] = theirs + [item for item in ours if item["name"] not in names]
    needed = {name: bootstrap[name] for name in ("node", "admin")}
    dynamic = custom.get("dynamic_resources") or bootstrap["dynamic_resources"]
    return {**custom, **needed, "dynamic_resources": dynamic, "static_resources": {**static, **made}}


def patched(bootstrap: Mapping[str, Any], patch: bytes) -> dict[str, Any]:
    """The bootstrap with a serialised `Bootstrap` merged into it; INVALID when they do not go together."""
    message = registry.message_class("envoy.config.bootstrap.v3.Bootstrap")
    whole = json_format.ParseDict(bootstrap, message())
    merge(whole, message.FromString(patch))
    made: dict[str, Any] = json_format.MessageToDict(whole, preserving_proto_field_name=True)
    return made


def to_json(bootstrap: Mapping[str, Any]) -> str:
    """The text that is written to the file; keys keep their order, so a diff of two bootstraps is readable."""
    return json.dumps(bootstrap, indent=2) + "\n"


def _admin(address: UnixSocket | HostPort) -> dict[str, Any]:
    log = typed("envoy.extensions.access_loggers.file.v3.FileAccessLog", {"path": "/dev/null"})
    return {
        "access_log": [{"name": "envoy.access_loggers.file", "typed_config": log}],
        "profile_path": "/var/lib/istio/data/envoy.prof",
        "address": address.to_envoy(),
    }


def _cluster_manager(inputs: BootstrapInputs) -> dict[str, Any]:
    manager: dict[str, Any] = {}
    if inputs.outlier_log:
        manager["outlier_detection"] = {"event_log_path": inputs.outlier_log}
    if inputs.load_stats:
        manager["load_stats_config"] = dict(inputs.load_stats)
    return manager


def _dynamic_resources() -> dict[str, Any]:
    # Without a timeout Envoy would call itself ready, empty, after 30 s without Pilot.
    source = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    return {
        "lds_config": dict(source),
        "cds_config": dict(source),
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [static_clusters.grpc_service(static_clusters.XDS_CLUSTER, "0.1s", "1s")],
        },
    }


def _overload_manager(max_connections: int) -> dict[str, Any]:
    monitor = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": typed(monitor, {"max_active_downstream_connections": max_connections}),
            }
        ]
    }
