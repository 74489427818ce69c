"""Every Envoy extension that a resource of ours may carry in an `Any`, imported once.

protobuf's JSON and `Any.Unpack` know a message only after its module was imported; this module is where. Importing
takes about 0.2 s, so it is done at the first look-up and not at start. Pure.
"""

import contextlib
import importlib
import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf import any_pb2, symbol_database

_TYPE_NAME = re.compile(r"(?P<package>(?:envoy|udpa|xds)(?:\.[a-z][a-z0-9_]*)+)\.[A-Z][A-Za-z0-9_.]*")
MODULES = (
    "envoy.config.bootstrap.v3.bootstrap_pb2",
    "envoy.config.cluster.v3.cluster_pb2",
    "envoy.config.endpoint.v3.endpoint_pb2",
    "envoy.config.listener.v3.listener_pb2",
    "envoy.config.route.v3.route_pb2",
    "envoy.config.trace.v3.opentelemetry_pb2",
    "envoy.config.trace.v3.zipkin_pb2",
    "envoy.admin.v3.config_dump_pb2",
    "envoy.service.discovery.v3.discovery_pb2",
    "envoy.extensions.transport_sockets.tls.v3.tls_pb2",
    "envoy.extensions.transport_sockets.tls.v3.secret_pb2",
    "envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2",
    "envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2",
    "envoy.extensions.transport_sockets.internal_upstream.v3.internal_upstream_pb2",
    "envoy.extensions.upstreams.http.v3.http_protocol_options_pb2",
    "envoy.extensions.upstreams.tcp.generic.v3.generic_connection_pool_pb2",
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
    "envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2",
    "envoy.extensions.filters.network.rbac.v3.rbac_pb2",
    "envoy.extensions.filters.network.mongo_proxy.v3.mongo_proxy_pb2",
    "envoy.extensions.filters.network.redis_proxy.v3.redis_proxy_pb2",
    "envoy.extensions.filters.network.sni_cluster.v3.sni_cluster_pb2",
    "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.sni_dynamic_forward_proxy_pb2",
    "envoy.extensions.filters.network.ext_authz.v3.ext_authz_pb2",
    "envoy.extensions.filters.network.connection_limit.v3.connection_limit_pb2",
    "envoy.extensions.filters.network.local_ratelimit.v3.local_rate_limit_pb2",
    "envoy.extensions.filters.network.set_filter_state.v3.set_filter_state_pb2",
    "envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2",
    "envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2",
    "envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2",
    "envoy.extensions.filters.listener.original_src.v3.original_src_pb2",
    "envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol_pb2",
    "envoy.extensions.filters.http.router.v3.router_pb2",
    "envoy.extensions.filters.http.cors.v3.cors_pb2",
    "envoy.extensions.filters.http.fault.v3.fault_pb2",
    "envoy.extensions.filters.http.rbac.v3.rbac_pb2",
    "envoy.extensions.filters.http.jwt_authn.v3.config_pb2",
    "envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2",
    "envoy.extensions.filters.http.ext_proc.v3.ext_proc_pb2",
    "envoy.extensions.filters.http.lua.v3.lua_pb2",
    "envoy.extensions.filters.http.wasm.v3.wasm_pb2",
    "envoy.extensions.filters.network.wasm.v3.wasm_pb2",
    "envoy.extensions.filters.http.buffer.v3.buffer_pb2",
    "envoy.extensions.filters.http.compressor.v3.compressor_pb2",
    "envoy.extensions.filters.http.csrf.v3.csrf_pb2",
    "envoy.extensions.filters.http.grpc_web.v3.grpc_web_pb2",
    "envoy.extensions.filters.http.grpc_stats.v3.config_pb2",
    "envoy.extensions.filters.http.header_to_metadata.v3.header_to_metadata_pb2",
    "envoy.extensions.filters.http.grpc_json_transcoder.v3.transcoder_pb2",
    "envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2",
    "envoy.extensions.filters.http.health_check.v3.health_check_pb2",
    "envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2",
    "envoy.extensions.filters.http.ratelimit.v3.rate_limit_pb2",
    "envoy.extensions.filters.network.ratelimit.v3.rate_limit_pb2",
    "envoy.extensions.filters.http.set_filter_state.v3.set_filter_state_pb2",
    "envoy.extensions.filters.http.set_metadata.v3.set_metadata_pb2",
    "envoy.extensions.filters.http.stateful_session.v3.stateful_session_pb2",
    "envoy.extensions.http.stateful_session.cookie.v3.cookie_pb2",
    "envoy.extensions.http.stateful_session.header.v3.header_pb2",
    "envoy.extensions.filters.http.dynamic_forward_proxy.v3.dynamic_forward_proxy_pb2",
    "envoy.extensions.clusters.dynamic_forward_proxy.v3.cluster_pb2",
    "envoy.extensions.common.dynamic_forward_proxy.v3.dns_cache_pb2",
    "envoy.extensions.access_loggers.file.v3.file_pb2",
    "envoy.extensions.access_loggers.stream.v3.stream_pb2",
    "envoy.extensions.access_loggers.grpc.v3.als_pb2",
    "envoy.extensions.access_loggers.stats.v3.stats_pb2",
    "envoy.extensions.access_loggers.filters.cel.v3.cel_pb2",
    "envoy.extensions.access_loggers.open_telemetry.v3.logs_service_pb2",
    "envoy.extensions.formatter.cel.v3.cel_pb2",
    "envoy.extensions.formatter.metadata.v3.metadata_pb2",
    "envoy.extensions.formatter.req_without_query.v3.req_without_query_pb2",
    "envoy.extensions.load_balancing_policies.least_request.v3.least_request_pb2",
    "envoy.extensions.load_balancing_policies.maglev.v3.maglev_pb2",
    "envoy.extensions.load_balancing_policies.random.v3.random_pb2",
    "envoy.extensions.load_balancing_policies.ring_hash.v3.ring_hash_pb2",
    "envoy.extensions.load_balancing_policies.round_robin.v3.round_robin_pb2",
    "envoy.extensions.load_balancing_policies.wrr_locality.v3.wrr_locality_pb2",
    "envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2",
    "envoy.extensions.retry.priority.previous_priorities.v3.previous_priorities_config_pb2",
    "envoy.extensions.path.match.uri_template.v3.uri_template_match_pb2",
    "envoy.extensions.path.rewrite.uri_template.v3.uri_template_rewrite_pb2",
    "envoy.extensions.matching.common_inputs.network.v3.network_inputs_pb2",
    "envoy.extensions.matching.common_inputs.ssl.v3.ssl_inputs_pb2",
    "envoy.extensions.matching.common_inputs.environment_variable.v3.input_pb2",
    "envoy.extensions.matching.common_inputs.stats.v3.stats_pb2",
    "envoy.extensions.network.dns_resolver.cares.v3.cares_dns_resolver_pb2",
    "envoy.extensions.network.dns_resolver.getaddrinfo.v3.getaddrinfo_dns_resolver_pb2",
    "envoy.extensions.resource_monitors.downstream_connections.v3.downstream_connections_pb2",
    "envoy.extensions.resource_monitors.fixed_heap.v3.fixed_heap_pb2",
    "envoy.extensions.compression.gzip.compressor.v3.gzip_pb2",
    "envoy.extensions.compression.brotli.compressor.v3.brotli_pb2",
    "envoy.extensions.compression.zstd.compressor.v3.zstd_pb2",
    "envoy.extensions.wasm.v3.wasm_pb2",
    "envoy.extensions.bootstrap.internal_listener.v3.internal_listener_pb2",
    "envoy.extensions.rbac.audit_loggers.stream.v3.stream_pb2",
    "envoy.extensions.http.original_ip_detection.xff.v3.xff_pb2",
    "envoy.extensions.request_id.uuid.v3.uuid_pb2",
    "envoy.type.matcher.v3.http_inputs_pb2",
    "xds.type.matcher.v3.matcher_pb2",
    "xds.type.matcher.v3.http_inputs_pb2",
    "xds.type.v3.typed_struct_pb2",
    "udpa.type.v1.typed_struct_pb2",
    "google.protobuf.struct_pb2",
    "google.protobuf.wrappers_pb2",
    "google.protobuf.duration_pb2",
)
"""Python modules of the messages in use."""


@cache
def load() -> symbol_database.SymbolDatabase:
    """Import every module above; afterwards `json_format` understands each `Any` that holds one of their messages."""
    for module in MODULES:
        importlib.import_module(module)
    return symbol_database.Default()


def message_class(type_url: str) -> Any:
    """The message class of a type URL; KeyError when nothing of Envoy's API defines it.

    What the modules above do not have is looked for in the package that its name says.
    """
    name = type_url.rpartition("/")[2]
    try:
        return load().GetSymbol(name)
    except KeyError:
        found = _TYPE_NAME.fullmatch(name)
        if found is None:
            raise
        _import_package(found["package"])
        return symbol_database.Default().GetSymbol(name)


@cache
def _import_package(package: str) -> None:
    """Import every message of a package of Envoy's API, if there is one of that name."""
    try:
        path = importlib.import_module(package).__path__
    except (ImportError, AttributeError):
        return
    for module in pkgutil.iter_modules(path):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"{package}.{module.name}")


def import_types(document: Any) -> None:
    """Import the types of every `Any` in JSON, so that `json_format` can read it; unknown ones are left to it."""
    if isinstance(document, Mapping):
        if isinstance(name := document.get("@type"), str):
            with contextlib.suppress(KeyError):
                message_class(name)
        for value in document.values():
            import_types(value)
    elif isinstance(document, list):
        for value in document:
            import_types(value)


def parse(type_url: str, body: bytes) -> Any:
    """The message of that type, read from its serialised form."""
    return message_class(type_url).FromString(body)


def unpack(packed: any_pb2.Any) -> Any | None:
    """What an `Any` holds; None when its type is not known here."""
    try:
        return parse(packed.type_url, packed.value)
    except KeyError:
        return None
