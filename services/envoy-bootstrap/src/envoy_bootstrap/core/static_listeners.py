"""The two listeners of every proxy: 15090 shows Envoy's statistics, 15021 its readiness.

Both are kept out of connection limits and overload protection: an overloaded proxy must still be observable. Pure.
"""

from typing import Any

from envoy_bootstrap.core.addresses import HostPort, typed
from envoy_bootstrap.core.static_clusters import AGENT_CLUSTER, PROMETHEUS_CLUSTER

_COMPRESSIBLE = [
    "text/plain",
    "application/vnd.google.protobuf",
    "application/openmetrics-text",
    "application/openmetrics-protobuf",
]


def prometheus_listener(address: HostPort, *, compress: bool = True) -> dict[str, Any]:
    """`/stats/prometheus` and nothing else of the admin interface."""
    filters = [_compressor(name) for name in ("brotli", "zstd", "gzip")] if compress else []
    return _listener(address, "stats", "/stats/prometheus", PROMETHEUS_CLUSTER, filters)


def health_listener(address: HostPort) -> dict[str, Any]:
    """`/healthz/ready`, answered by the agent through Envoy: it fails when either of the two does."""
    return _listener(address, "agent", "/healthz/ready", AGENT_CLUSTER, [])


def _listener(
    address: HostPort, stat_prefix: str, path: str, cluster: str, filters: list[dict[str, Any]]
) -> dict[str, Any]:
    routes = [{"match": {"prefix": path}, "route": {"cluster": cluster}}]
    manager = {
        "codec_type": "AUTO",
        "stat_prefix": stat_prefix,
        "route_config": {"virtual_hosts": [{"name": "backend", "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, _router()],
    }
    manager_type = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "name": f"{address.host}_{address.port}",
        "address": address.to_envoy(),
        "ignore_global_conn_limit": True,
        "bypass_overload_manager": True,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": typed(manager_type, manager),
                    }
                ]
            }
        ],
    }


def _compressor(name: str) -> dict[str, Any]:
    kind = f"envoy.extensions.compression.{name}.compressor.v3.{name.capitalize()}"
    library = {"name": f"stats_{name}", "typed_config": typed(kind)}
    direction = {"common_config": {"content_type": list(_COMPRESSIBLE)}}
    config = {"compressor_library": library, "response_direction_config": direction}
    return {
        "name": f"envoy.filters.http.compressor.{name}",
        "typed_config": typed("envoy.extensions.filters.http.compressor.v3.Compressor", config),
    }


def _router() -> dict[str, Any]:
    router = typed("envoy.extensions.filters.http.router.v3.Router")
    return {"name": "envoy.filters.http.router", "typed_config": router}
