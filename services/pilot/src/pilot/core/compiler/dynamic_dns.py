"""Hosts that are looked up when a request or a TLS connection names them: ServiceEntry resolution DYNAMIC_DNS, and
whatever nobody knows where MeshConfig's outbound policy is ALLOW_ANY_DYNAMIC_DNS. Pure.

A cluster of Envoy's dynamic forward proxy goes wherever the host leads; a filter looks the name up first: of requests
by their host, of TLS by its server name. All share one cache of names. Of entries only names that a wildcard host
covers get a route to such a cluster.
"""

from typing import Any, NamedTuple

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.clusters.dynamic_forward_proxy.v3 import cluster_pb2 as dynamic_pb2
from envoy.extensions.common.dynamic_forward_proxy.v3 import dns_cache_pb2
from envoy.extensions.filters.http.dynamic_forward_proxy.v3 import dynamic_forward_proxy_pb2
from envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3 import sni_dynamic_forward_proxy_pb2
from envoy.extensions.network.dns_resolver.cares.v3 import cares_dns_resolver_pb2
from meshcore.model.mesh_config import MeshConfig
from meshcore.protocol import Protocol

from pilot.core.compiler.address_families import Families
from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation
from pilot.core.compiler.filter_order import HttpFilter, HttpSlot
from pilot.core.compiler.messages import any_of, duration, uint32
from pilot.core.registry import Port, Resolution, Service

CACHE = "dynamic_dns"
_CLUSTER = "envoy.clusters.dynamic_forward_proxy"


class Lookup(NamedTuple):
    """The server name of a TLS connection is looked up, and dialled on that port."""

    port: int
    families: Families

    def filter(self, mesh: MeshConfig) -> listener_components_pb2.Filter:
        """Comes before the TCP proxy."""
        config = sni_dynamic_forward_proxy_pb2.FilterConfig(
            dns_cache_config=_cache(mesh, self.families), port_value=self.port
        )
        name = "envoy.filters.network.sni_dynamic_forward_proxy"
        return listener_components_pb2.Filter(name=name, typed_config=any_of(config))


def is_dynamic(service: Service, port: Port) -> bool:
    """Whether the port's requests or connections go where their host leads."""
    if service.resolution is not Resolution.DYNAMIC_DNS:
        return False
    return port.protocol.is_http or port.protocol is Protocol.TLS


def has_dynamic(work: Compilation) -> bool:
    """Whether requests need the filter: for any service in scope, or for hosts that nobody knows."""
    services = work.scope.services
    return work.scope.looks_up_any or work.memo(
        ("dynamic-dns", Same(services)),
        lambda: any(
            is_dynamic(service, port) and port.protocol.is_http for service in services for port in service.ports
        ),
    )


def lookup_of(work: Compilation, service: Service, port: Port) -> Lookup | None:
    """What finds the way of connections to a port; nothing unless its host is looked up by the server name."""
    if port.protocol is Protocol.TLS and is_dynamic(service, port):
        return Lookup(port.number, work.families)
    return None


def apply_dynamic(cluster: Any, mesh: MeshConfig, families: Families) -> None:
    """Make it a cluster that goes where the request's host, or the server name, leads."""
    # Whether names are checked in TLS is the rule's to say, as in every cluster.
    config = dynamic_pb2.ClusterConfig(dns_cache_config=_cache(mesh, families), allow_insecure_cluster_options=True)
    cluster.cluster_type.name = _CLUSTER
    cluster.cluster_type.typed_config.CopyFrom(any_of(config))
    cluster.lb_policy = cluster_pb2.Cluster.CLUSTER_PROVIDED


def dynamic_dns_filter(mesh: MeshConfig, families: Families) -> tuple[HttpSlot, HttpFilter]:
    """Look up the hosts of requests that such a cluster gets; others pass."""
    config = dynamic_forward_proxy_pb2.FilterConfig(dns_cache_config=_cache(mesh, families))
    made = HttpFilter(name="envoy.filters.http.dynamic_forward_proxy", typed_config=any_of(config))
    return HttpSlot.DYNAMIC_FORWARD_PROXY, made


def cares_resolver() -> extension_pb2.TypedExtensionConfig:
    """How names are looked up everywhere."""
    resolver = cares_dns_resolver_pb2.CaresDnsResolverConfig(udp_max_queries=uint32(100))
    return extension_pb2.TypedExtensionConfig(name="envoy.network.dns_resolver.cares", typed_config=any_of(resolver))


def _cache(mesh: MeshConfig, families: Families) -> dns_cache_pb2.DnsCacheConfig:
    return dns_cache_pb2.DnsCacheConfig(
        name=CACHE,
        dns_lookup_family=families.lookup,
        dns_refresh_rate=duration(mesh.dns_refresh_rate),
        typed_dns_resolver_config=cares_resolver(),
    )
