"""What a gRPC client without a proxy is given: `xds:///host:port` asks for a listener of that name, its route
configuration, clusters and endpoints (gRFC A27, A28). Pure.

Only what such clients know is left in: round robin or a hash ring, faults, and mesh mTLS with the certificates of the
client's own provider (gRFC A29). It is spoken where a DestinationRule says ISTIO_MUTUAL or the servers' namespace is
STRICT: such clients cannot choose by endpoint, and sidecars that take both know mTLS by an ALPN that gRPC does not
offer. Other TLS has no counterpart, so such a cluster has no endpoints: its calls fail instead of going in the clear.
Services that the client would have to resolve by DNS have no listener.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import api_listener_pb2, listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.model.peer_authentication import MtlsMode
from meshcore.xds.names import outbound_cluster
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE

from pilot.core.compiler.clusters import MUTUAL_MATCH, outbound_clusters
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.domains import Caller, domains_of
from pilot.core.compiler.endpoints import endpoint_resources
from pilot.core.compiler.grpc_tls import provided_mutual
from pilot.core.compiler.messages import ads_source, any_of
from pilot.core.compiler.routes import service_routes
from pilot.core.compiler.tls import RAW_SOCKET
from pilot.core.diagnostics import Diagnostic, Severity
from pilot.core.registry import Port, Resolution, Service

_FAULT = "envoy.filters.http.fault"
_KEPT = ("name", "type", "eds_cluster_config", "lb_policy", "ring_hash_lb_config", "circuit_breakers")


def grpc_resources(work: Compilation) -> Iterator[Compiled]:
    """Everything that the client may ask for by name."""
    for service in work.scope.services:
        yield from grpc_parts(work, service)


def grpc_parts(work: Compilation, service: Service) -> Iterator[Compiled]:
    """That of one service."""
    if service.resolution is not Resolution.ENDPOINTS:
        return
    mutual = work.mtls(service.namespace).namespace_mode is MtlsMode.STRICT
    rules = tuple(config.path for config in work.rule(service).configs)
    shut = set()
    for item in outbound_clusters(work, service):
        key = (*_key("grpc-cluster", item), mutual, rules)
        made = work.memo(key, partial(_cluster, item, rules, mutual=mutual))
        shut.update([item.resource.name] if made.is_shut else [])
        yield made.compiled
    for item in endpoint_resources(work, service):
        is_shut = item.resource.name in shut
        yield work.memo((*_key("grpc-endpoints", item), is_shut), partial(_endpoints, item, is_shut=is_shut))
    for port in service.ports:
        routes = service_routes(work, service, port)
        name = outbound_cluster(port.number, "", service.host)
        yield work.memo(_key("grpc-routes", routes), partial(_routes, name, routes))
        yield from _listeners(work, service, port, name)


def _key(what: str, item: Compiled) -> tuple[object, ...]:
    return what, item.resource, item.resource.origins, item.diagnostics


class _Made(NamedTuple):
    compiled: Compiled
    is_shut: bool = False
    """Whether nothing may go there."""


def _cluster(item: Compiled, rules: tuple[str, ...], *, mutual: bool) -> _Made:
    found = cluster_pb2.Cluster.FromString(item.resource.body)
    made = cluster_pb2.Cluster()
    for field in _KEPT:
        if field in ("name", "type", "lb_policy"):
            setattr(made, field, getattr(found, field))
        elif found.HasField(field):
            getattr(made, field).CopyFrom(getattr(found, field))
    if made.lb_policy != cluster_pb2.Cluster.RING_HASH:
        made.lb_policy = cluster_pb2.Cluster.ROUND_ROBIN
    problems, is_shut = item.diagnostics, False
    socket = _socket(found, mutual=mutual)
    if socket is not None and socket.name != RAW_SOCKET:
        provided = provided_mutual(socket)
        if provided is not None:
            made.transport_socket.CopyFrom(provided)
        else:
            is_shut = True
            text = f"gRPC clients without a proxy do not call {made.name}: of TLS they know that of the mesh only."
            problems += (Diagnostic("tls-not-known-to-grpc", rules[0] if rules else "", text, Severity.ERROR),)
    return _Made(packed(CLUSTER_TYPE, made.name, made, problems, beside=item.resource.origins), is_shut)


def _socket(cluster: cluster_pb2.Cluster, *, mutual: bool) -> base_pb2.TransportSocket | None:
    """The one of all endpoints: of those to choose from by endpoint the one for mTLS, where nothing else is taken."""
    if cluster.HasField("transport_socket"):
        return cluster.transport_socket
    choices = [one.transport_socket for one in cluster.transport_socket_matches if one.name == MUTUAL_MATCH]
    return choices[0] if choices and mutual else None


def _endpoints(item: Compiled, *, is_shut: bool) -> Compiled:
    """Each group of endpoints says where it is, be it nowhere, and has a weight: without, the client takes none."""
    made = endpoint_pb2.ClusterLoadAssignment.FromString(item.resource.body)
    if is_shut:
        made.ClearField("endpoints")
    for group in made.endpoints:
        group.locality.SetInParent()
        group.load_balancing_weight.value = max(group.load_balancing_weight.value, 1)
    return packed(ENDPOINT_TYPE, item.resource.name, made, item.diagnostics, beside=item.resource.origins)


def _routes(name: str, item: Compiled) -> Compiled:
    """The same rules under the name that the listener gives; a filter that the client has not may not be configured."""
    made = route_pb2.RouteConfiguration.FromString(item.resource.body)
    made.name = name
    for host in made.virtual_hosts:
        for route in host.routes:
            for key in [key for key in route.typed_per_filter_config if key != _FAULT]:
                del route.typed_per_filter_config[key]
    return packed(ROUTE_TYPE, name, made, item.diagnostics, beside=item.resource.origins)


def _listeners(work: Compilation, service: Service, port: Port, routes: str) -> Iterator[Compiled]:
    one = work.proxy_class
    for domain in domains_of(service, (), Caller(one.namespace, one.domain, one.search)):
        if not domain.endswith(".") and not domain.startswith("*"):
            name = f"{domain}:{port.number}"
            yield work.memo(("grpc-listener", name, routes, service.ref), partial(_listener, name, routes, service))


def _listener(name: str, routes: str, service: Service) -> Compiled:
    manager = http_connection_manager_pb2.HttpConnectionManager(stat_prefix=name)
    manager.rds.route_config_name = routes
    manager.rds.config_source.CopyFrom(ads_source())
    manager.http_filters.add(name=_FAULT, typed_config=any_of(fault_pb2.HTTPFault()))
    manager.http_filters.add(name="envoy.filters.http.router", typed_config=any_of(router_pb2.Router()))
    listener = listener_pb2.Listener(name=name, api_listener=api_listener_pb2.ApiListener(api_listener=any_of(manager)))
    return packed(LISTENER_TYPE, name, listener, beside=(service.ref,))
