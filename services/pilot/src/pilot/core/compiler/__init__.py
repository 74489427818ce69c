"""The compiler: a snapshot and a class of proxies in, everything that Envoy is to have out.

`compile_resources` takes frozen inputs only and never raises on validated config: what cannot be honoured becomes a
`Diagnostic` in the result. Output is deterministic: names sorted, bytes canonical, whatever the order of arrival. Pure.
"""

from collections.abc import Iterator
from types import MappingProxyType

from meshcore.xds.resource import ResourceSet

from pilot.core.compiler.authentication import authenticated, authentication_problems
from pilot.core.compiler.authorization import authorization_problems, authorized
from pilot.core.compiler.cache import CompileCache
from pilot.core.compiler.catch_all import catch_all_clusters
from pilot.core.compiler.compliance import compliant
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.egress_listeners import egress_plan
from pilot.core.compiler.envoy_filter import Patched, patched
from pilot.core.compiler.extensions import extended, extension_problems
from pilot.core.compiler.gateway_clusters import gateway_clusters
from pilot.core.compiler.gateway_listeners import gateway_listeners
from pilot.core.compiler.gateway_routes import gateway_routes
from pilot.core.compiler.gateway_servers import merged_servers
from pilot.core.compiler.grpc_authorization import grpc_authorization_problems
from pilot.core.compiler.grpc_clients import grpc_resources
from pilot.core.compiler.grpc_servers import grpc_servers
from pilot.core.compiler.host_rules import host_conflicts
from pilot.core.compiler.inbound_clusters import inbound_clusters
from pilot.core.compiler.inbound_ports import inbound_conflicts
from pilot.core.compiler.listeners_inbound import inbound_listeners
from pilot.core.compiler.listeners_outbound import outbound_listeners, route_names
from pilot.core.compiler.outbound_plan import plan
from pilot.core.compiler.own_certificates import with_own_certificates
from pilot.core.compiler.parts import clusters_and_endpoints
from pilot.core.compiler.proxy_headers import with_proxy_headers
from pilot.core.compiler.refresh import Refreshing
from pilot.core.compiler.request_audit import audited
from pilot.core.compiler.routes import route_resources
from pilot.core.compiler.telemetry import observed, telemetry_problems
from pilot.core.diagnostics import Diagnostic
from pilot.core.proxy import GRPC_GENERATOR, Interception, ProxyClass, ProxyType
from pilot.core.snapshot import MeshSnapshot

__all__ = ["CompileCache", "Refreshing", "compile_resources"]


def compile_resources(
    snapshot: MeshSnapshot, proxy_class: ProxyClass, cache: CompileCache | None = None
) -> ResourceSet:
    """Everything that proxies of this class are to have in this mesh; `cache` only makes it faster."""
    work = Compilation(snapshot, proxy_class, cache if cache is not None else CompileCache())
    by_type: dict[str, dict[str, Compiled]] = {}
    if proxy_class.generator == GRPC_GENERATOR:
        made = Patched((*grpc_resources(work), *grpc_servers(work)), ())
    else:
        plain = with_proxy_headers(work, with_own_certificates(work, _compile(work)))
        secured = authorized(work, authenticated(work, plain))
        made = patched(work, compliant(work, audited(work, observed(work, extended(work, secured)))))
    problems = set(made.diagnostics)
    for item in made.compiled:
        problems.update(item.diagnostics)
        by_type.setdefault(item.resource.type_url, {}).setdefault(item.resource.name, item)
    resources = {
        type_url: MappingProxyType({name: named[name].resource for name in sorted(named)})
        for type_url, named in by_type.items()
    }
    secrets = frozenset(name for named in by_type.values() for item in named.values() for name in item.secrets)
    return ResourceSet(MappingProxyType(resources), tuple(sorted(problems.union(_problems(work)))), secrets)


def _compile(work: Compilation) -> Iterator[Compiled]:
    for service in work.scope.services:
        yield from clusters_and_endpoints(work, service)
    yield from inbound_clusters(work)
    yield from catch_all_clusters(work)
    yield from outbound_listeners(work)
    yield from inbound_listeners(work)
    yield from route_resources(work, route_names(work))
    if work.proxy_class.type is ProxyType.ROUTER:
        yield from gateway_clusters(work)
        yield from gateway_listeners(work)
        yield from gateway_routes(work)


def _problems(work: Compilation) -> Iterator[Diagnostic]:
    yield from inbound_conflicts(work)
    yield from extension_problems(work)
    yield from telemetry_problems(work)
    one = work.proxy_class
    if one.generator == GRPC_GENERATOR:
        yield from grpc_authorization_problems(work)
    else:
        yield from authentication_problems(work)
        yield from authorization_problems(work)
    if one.type is ProxyType.ROUTER:
        yield from merged_servers(work).refused
    if one.type is ProxyType.SIDECAR:
        yield from host_conflicts(work)
        yield from egress_plan(work).diagnostics
        if one.interception is not Interception.NONE:
            yield from plan(work).diagnostics
