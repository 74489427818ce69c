"""What a class has of one service alone: clusters, assignments, and what gRPC asks for by name. Pure."""

from collections.abc import Hashable
from functools import partial

from pilot.core.compiler.cache import Same
from pilot.core.compiler.clusters import outbound_clusters
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.endpoints import crossing_key, endpoint_resources
from pilot.core.compiler.gateway_clusters import passed_parts, passing_servers
from pilot.core.compiler.grpc_clients import grpc_parts
from pilot.core.proxy import GRPC_GENERATOR, ProxyType
from pilot.core.registry import Service


def service_parts(work: Compilation, service: Service) -> tuple[Compiled, ...]:
    """All resources of a service in scope that its endpoints are looked at for, a headless one's listeners apart."""
    one = work.proxy_class
    if one.generator == GRPC_GENERATOR:
        return tuple(grpc_parts(work, service))
    passed = passed_parts(work, passing_servers(work), service) if one.type is ProxyType.ROUTER else ()
    return (*clusters_and_endpoints(work, service), *passed)


def clusters_and_endpoints(work: Compilation, service: Service) -> tuple[Compiled, ...]:
    """Its clusters and their assignments: one look-up while nothing about the service changes."""
    key = ("service", *_traits(work), Same(service), Same(work.rule(service)), Same(work.endpoints(service)))
    return work.memo(key, partial(_made, work, service))


def _made(work: Compilation, service: Service) -> tuple[Compiled, ...]:
    return (*outbound_clusters(work, service), *endpoint_resources(work, service))


def _traits(work: Compilation) -> tuple[Hashable, ...]:
    """Everything else that they depend on."""
    one = work.proxy_class
    return (
        one.type,
        one.interception,
        one.bind_address,
        work.families,
        one.locality,
        tuple(sorted(work.place_labels.items())),
        Same(work.mesh),
        Same(work.snapshot.mtls_policies),
        *crossing_key(work),
    )
