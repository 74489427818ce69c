"""The clusters that Envoy has before it hears from Pilot.

`xds-grpc`   Pilot over mTLS, and as second priority the agent's own socket with the last good configuration.
             Priorities need a notion of health: one failed stream ejects Pilot for a second (outlier detection),
             without an active health check that would cost Pilot a handshake per proxy and second.
`sds-grpc`   the agent's socket with the workload's certificate and the roots, or that of somebody else (SPIRE, say):
             then `sds-files-grpc` is the agent's socket with files, `sds-pilot` the one for what Pilot is dialled with.
`agent-audit` the agent's socket for access records.
`agent-extensions` its socket for extensions whose modules it pulls.
`agent`, `prometheus_stats`: what the two static listeners forward to.
Pure.
"""

from collections.abc import Sequence
from typing import Any

from meshcore.xds.names import AUDIT_CLUSTER, EXTENSIONS_CLUSTER, FILES_SDS_CLUSTER, SDS_CLUSTER

from envoy_bootstrap.core.addresses import HostPort, UnixSocket, typed

XDS_CLUSTER = "xds-grpc"
PILOT_SDS_CLUSTER = "sds-pilot"
AGENT_CLUSTER = "agent"
PROMETHEUS_CLUSTER = "prometheus_stats"

WORKLOAD_SECRET = "default"
ROOT_SECRET = "ROOTCA"
PILOT_ROOT_SECRET = "ROOTCA-OF-PILOT"

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_BREAKERS = {"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}

# A frozen Pilot (stopped process, lost packets) is noticed after interval + timeout.
_KEEPALIVE = {"connection_keepalive": {"interval": "5s", "timeout": "2s"}}
_OUTLIER_DETECTION = {
    "consecutive_5xx": 1,
    "enforcing_consecutive_5xx": 100,
    "enforcing_success_rate": 0,
    "interval": "0.5s",
    "base_ejection_time": "1s",
    "max_ejection_time": "1s",
    "max_ejection_percent": 100,
}


def xds_cluster(
    pilot: HostPort, pilot_sans: Sequence[str], agent_ads: UnixSocket, endpoints_file: str, secrets: str
) -> dict[str, Any]:
    """Pilot by mTLS first, the agent's last good configuration second; `secrets` is the cluster of the agent's own.

    Envoy's DNS clusters cannot hold a Unix socket. Where Pilot has a name the agent resolves it and keeps the addresses
    in `endpoints_file`, which Envoy watches.
    """
    where: dict[str, Any] = {"type": "STATIC", "load_assignment": xds_endpoints([pilot], agent_ads)}
    if not pilot.is_ip:
        source = {"path_config_source": {"path": endpoints_file}, "resource_api_version": "V3"}
        where = {"type": "EDS", "eds_cluster_config": {"eds_config": source}}
    return {
        "name": XDS_CLUSTER,
        "alt_stat_name": f"{XDS_CLUSTER};",
        **where,
        "connect_timeout": "1s",
        "lb_policy": "ROUND_ROBIN",
        "transport_socket_matches": [
            {"name": "pilot", "match": {"pilot": True}, "transport_socket": _pilot_tls(pilot, pilot_sans, secrets)},
            {
                "name": "agent",
                "match": {},
                "transport_socket": {
                    "name": "envoy.transport_sockets.raw_buffer",
                    "typed_config": typed("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
                },
            },
        ],
        # With panic routing an ejected Pilot would keep being tried instead of the agent.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "outlier_detection": dict(_OUTLIER_DETECTION),
        "circuit_breakers": {
            "thresholds": [{"priority": "DEFAULT", **_BREAKERS}, {"priority": "HIGH", **_BREAKERS}],
        },
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 300}},
        "typed_extension_protocol_options": _http2(
            _KEEPALIVE,
            # A stream that Pilot ended, because the certificate did, must not come back on the connection of before.
            common_http_protocol_options={"max_requests_per_connection": 1},
        ),
    }


def xds_endpoints(pilots: Sequence[HostPort], agent_ads: UnixSocket) -> dict[str, Any]:
    """The two priorities of the xDS cluster; every address of Pilot is as good as the other."""
    marked = {"filter_metadata": {"envoy.transport_socket_match": {"pilot": True}}}
    first = [{"endpoint": {"address": pilot.to_envoy()}, "metadata": marked} for pilot in pilots]
    return {
        "cluster_name": XDS_CLUSTER,
        "endpoints": [
            {"priority": 0, "lb_endpoints": first},
            {"priority": 1, "lb_endpoints": [{"endpoint": {"address": agent_ads.to_envoy()}}]},
        ],
    }


def endpoints_document(pilots: Sequence[HostPort], agent_ads: UnixSocket) -> dict[str, Any]:
    """The content of the endpoints file: a DiscoveryResponse with one load assignment."""
    assignment = typed("envoy.config.endpoint.v3.ClusterLoadAssignment", xds_endpoints(pilots, agent_ads))
    return {"version_info": ",".join(str(pilot) for pilot in pilots), "resources": [assignment]}


def sds_clusters(own: UnixSocket, foreign: UnixSocket | None, files: UnixSocket | None) -> list[dict[str, Any]]:
    """The sockets with secrets; where somebody else gives the certificates, the rest is on two of the agent's."""
    sockets = {SDS_CLUSTER: own}
    if foreign is not None and files is not None:
        sockets = {SDS_CLUSTER: foreign, FILES_SDS_CLUSTER: files, PILOT_SDS_CLUSTER: own}
    return [
        {**_static(name, socket, "1s"), "typed_extension_protocol_options": HTTP2} for name, socket in sockets.items()
    ]


def audit_cluster(socket: UnixSocket) -> dict[str, Any]:
    """The agent's access log service; Pilot's listeners name it where the node says that it is there."""
    return {
        **_static(AUDIT_CLUSTER, socket, "1s"),
        "typed_extension_protocol_options": HTTP2,
    }


def extensions_cluster(socket: UnixSocket) -> dict[str, Any]:
    """The agent's extension configs; Pilot's listeners name it where the node says that it is there."""
    return {
        **_static(EXTENSIONS_CLUSTER, socket, "1s"),
        "typed_extension_protocol_options": HTTP2,
    }


def agent_cluster(status: HostPort) -> dict[str, Any]:
    """The agent's status server."""
    return _static(AGENT_CLUSTER, status, "0.250s")


def prometheus_cluster(admin: HostPort | UnixSocket) -> dict[str, Any]:
    """Envoy's own admin interface, of which 15090 shows the statistics only."""
    return _static(PROMETHEUS_CLUSTER, _connectable(admin), "0.250s")


def sds_secret(name: str, *, waits: bool = True, cluster: str = SDS_CLUSTER) -> dict[str, Any]:
    """An SdsSecretConfig for one of the agent's secrets.

    One that `waits` does so for ever: a certificate that is late is not absent.
    """
    return {
        "name": name,
        "sds_config": {
            "resource_api_version": "V3",
            **({"initial_fetch_timeout": "0s"} if waits else {}),
            "api_config_source": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [grpc_service(cluster, "0.05s", "0.5s")],
            },
        },
    }


def grpc_service(cluster: str, base_interval: str, max_interval: str) -> dict[str, Any]:
    """Envoy's own gRPC client to a cluster, reconnecting within these intervals (the default goes up to 30 s)."""
    back_off = {"base_interval": base_interval, "max_interval": max_interval}
    return {"envoy_grpc": {"cluster_name": cluster, "retry_policy": {"retry_back_off": back_off}}}


def _pilot_tls(pilot: HostPort, pilot_sans: Sequence[str], secrets: str) -> dict[str, Any]:
    matchers = [
        {"san_type": "URI" if san.startswith("spiffe://") else "DNS", "matcher": {"exact": san}} for san in pilot_sans
    ]
    context: dict[str, Any] = {
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": [sds_secret(WORKLOAD_SECRET, cluster=secrets)],
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": matchers},
                "validation_context_sds_secret_config": sds_secret(PILOT_ROOT_SECRET, cluster=secrets),
            },
        }
    }
    if not pilot.is_ip:  # RFC 6066 §3: no literal addresses in server_name
        context["sni"] = pilot.host
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", context),
    }


def _static(name: str, address: HostPort | UnixSocket, connect_timeout: str) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address.to_envoy()}}]}]
    return {
        "name": name,
        "alt_stat_name": f"{name};",
        "type": "STATIC",
        "connect_timeout": connect_timeout,
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _connectable(address: HostPort | UnixSocket) -> HostPort | UnixSocket:
    return UnixSocket(address.path) if isinstance(address, UnixSocket) else address


def _http2(options: dict[str, Any], **others: Any) -> dict[str, Any]:
    explicit = {**others, "explicit_http_config": {"http2_protocol_options": dict(options)}}
    return {_HTTP_OPTIONS: typed(_HTTP_OPTIONS, explicit)}


HTTP2 = _http2({})
"""The protocol options of a cluster that speaks gRPC."""
