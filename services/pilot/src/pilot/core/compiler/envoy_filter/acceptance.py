"""What Envoy refuses although every field is right by itself. Each answer is a reason, empty when there is none.

Not complete: Envoy knows more, which a NACK then says. Pure.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.xds.refused_values import is_address

from pilot.core.compiler.envoy_filter.chain_overlap import overlapping

TWINS = "two filter chains would match the same connections"
_Cluster = cluster_pb2.Cluster
_Manager = http_connection_manager_pb2.HttpConnectionManager
_LISTED = frozenset({_Cluster.STATIC, _Cluster.STRICT_DNS, _Cluster.LOGICAL_DNS})
_PREFIX = "type.googleapis.com/envoy.extensions.filters."
_TERMINAL = frozenset(
    _PREFIX + name
    for name in (
        "http.router.v3.Router",
        "network.http_connection_manager.v3.HttpConnectionManager",
        "network.tcp_proxy.v3.TcpProxy",
        "network.redis_proxy.v3.RedisProxy",
        "network.thrift_proxy.v3.ThriftProxy",
        "network.dubbo_proxy.v3.DubboProxy",
        "network.generic_proxy.v3.GenericProxy",
        "network.direct_response.v3.Config",
        "network.echo.v3.Echo",
    )
)
"""Filters that must be last, and without one of which a chain is refused."""


def is_terminal(item: Any) -> bool:
    """Whether a filter forwards or answers by itself."""
    return item.typed_config.type_url in _TERMINAL


def filters_fault(filters: Sequence[Any]) -> str:
    """Of a list of network or HTTP filters."""
    if any(is_terminal(item) for item in filters[:-1]):
        return "a filter that ends the chain must be last"
    if not filters or (not is_terminal(filters[-1]) and filters[-1].typed_config.type_url):
        return "a chain must end with a filter that forwards or answers"
    return ""


def filter_fault(item: Any) -> str:
    """Of one filter of any kind: a connection manager has filters and routes in it."""
    if item.WhichOneof("config_type") is None:
        return f"the filter {item.name!r} has neither typed_config nor config_discovery"
    if not item.typed_config.Is(_Manager.DESCRIPTOR):
        return ""
    manager = _Manager.FromString(item.typed_config.value)
    inside = next((fault for inner in manager.http_filters if (fault := filter_fault(inner))), "")
    return filters_fault(manager.http_filters) or inside or routes_fault(manager.route_config)


def chain_fault(chain: Any) -> str:
    """Of one filter chain."""
    inside = next((fault for item in chain.filters if (fault := filter_fault(item))), "")
    return filters_fault(chain.filters) or inside


def listener_fault(listener: Any) -> str:
    """Of a whole listener."""
    if listener.HasField("api_listener") or listener.HasField("internal_listener"):
        return ""
    if not listener.HasField("address"):
        return "a listener needs an address"
    if listener.address.socket_address.protocol == address_pb2.SocketAddress.UDP:
        return ""
    chains = [*listener.filter_chains]
    if overlapping(chains):
        return TWINS
    if fault := next((fault for item in listener.listener_filters if (fault := filter_fault(item))), ""):
        return fault
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    if not chains:
        return "a listener needs a filter chain"
    return next((fault for chain in chains if (fault := chain_fault(chain))), "")


def routes_fault(routes: Any) -> str:
    """Of a route configuration."""
    domains = [domain.lower() for host in routes.virtual_hosts for domain in host.domains]
    names = [host.name for host in routes.virtual_hosts]
    if len(set(domains)) < len(domains) or len(set(names)) < len(names):
        return "two virtual hosts would have the same name or domain"
    return ""


def cluster_fault(cluster: Any) -> str:
    """Of a whole cluster: how it finds its endpoints must fit what it says of them."""
    if cluster.WhichOneof("cluster_discovery_type") == "cluster_type":
        return ""
    provided = cluster.lb_policy == _Cluster.CLUSTER_PROVIDED
    if provided is not (cluster.type == _Cluster.ORIGINAL_DST) and not cluster.HasField("load_balancing_policy"):
        return "lb_policy CLUSTER_PROVIDED and type ORIGINAL_DST come together or not at all"
    if cluster.HasField("eds_cluster_config") is not (cluster.type == _Cluster.EDS):
        return "eds_cluster_config and type EDS come together or not at all"
    if cluster.HasField("load_assignment") and cluster.type not in _LISTED:
        return "load_assignment is for the types STATIC, STRICT_DNS and LOGICAL_DNS"
    if cluster.type == _Cluster.STATIC and (names := [*_names_of(cluster.load_assignment)]):
        return f"type STATIC takes IP addresses, not {names[0]!r}"
    count = sum(len(group.lb_endpoints) for group in cluster.load_assignment.endpoints)
    if cluster.type == _Cluster.LOGICAL_DNS and count != 1:
        return "type LOGICAL_DNS takes exactly one endpoint"
    return ""


def _names_of(assignment: Any) -> Iterator[str]:
    """Addresses of endpoints that are none."""
    for group in assignment.endpoints:
        for item in group.lb_endpoints:
            found = item.endpoint.address.socket_address
            if found.address and not found.resolver_name and not is_address(found.address):
                yield found.address
