"""The compiler: a snapshot and a class of proxies in, everything that Envoy is to have out.

`compile_resources` takes frozen inputs only and never raises on validated config: what cannot be honoured becomes a
`Diagnostic` in the result. Output is deterministic: names sorted, bytes canonical, whatever the order of arrival. Pure.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

from meshcore.xds.resource import NOTHING, PackedResource, Resources, ResourceSet

from pilot.core.compiler.authentication import authenticated, authentication_problems
from pilot.core.compiler.authorization import authorization_problems, authorized
from pilot.core.compiler.cache import Before, CompileCache
from pilot.core.compiler.catch_all import catch_all_clusters
from pilot.core.compiler.compliance import compliant, is_demanding
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.egress_listeners import egress_plan
from pilot.core.compiler.envoy_filter import Patched, patched, patched_parts
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
from pilot.core.compiler.own_sources import with_own_source
from pilot.core.compiler.parts import Parts, all_parts
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
    if proxy_class.generator == GRPC_GENERATOR:
        return _joined(work, None, Patched((*grpc_resources(work), *grpc_servers(work)), ()))
    parts = with_own_source(work, all_parts(work))
    if not _reshapes_clusters(work):
        made = patched(work, _secured(work, _but_services(work)), parts.named)
        return _joined(work, patched_parts(work, parts), made)
    of_services = chain.from_iterable(part.compiled for part in parts.parts)
    return _joined(work, None, patched(work, _secured(work, chain(of_services, _but_services(work)))))


def _secured(work: Compilation, compiled: Iterable[Compiled]) -> Iterable[Compiled]:
    plain = with_proxy_headers(work, with_own_certificates(work, compiled))
    secured = authorized(work, authenticated(work, plain))
    return compliant(work, audited(work, observed(work, extended(work, secured))))


def _reshapes_clusters(work: Compilation) -> bool:
    """Whether what is made of a service does not stay as it is made; patches have a way of their own."""
    return work.proxy_class.certificates is not None or is_demanding(work)


def _but_services(work: Compilation) -> Iterator[Compiled]:
    yield from inbound_clusters(work)
    yield from catch_all_clusters(work)
    yield from outbound_listeners(work)
    yield from inbound_listeners(work)
    yield from route_resources(work, route_names(work))
    if work.proxy_class.type is ProxyType.ROUTER:
        yield from gateway_clusters(work)
        yield from gateway_listeners(work)
        yield from gateway_routes(work)


def _joined(work: Compilation, parts: Parts | None, made: Patched) -> ResourceSet:
    """All by type and name; of two of one name the first counts."""
    problems = set(made.diagnostics)
    secrets: set[str] = set()
    by_type: dict[str, dict[str, PackedResource]] = {}
    for item in made.compiled:
        problems.update(item.diagnostics)
        secrets.update(item.secrets)
        by_type.setdefault(item.resource.type_url, {}).setdefault(item.resource.name, item.resource)
    if parts is not None:
        problems |= parts.diagnostics
        secrets |= parts.secrets
        for type_url, named in parts.named.items():
            if named:
                by_type.setdefault(type_url, {})
    resources = {}
    for type_url, others in by_type.items():
        named = parts.named.get(type_url, NOTHING) if parts is not None else NOTHING
        resources[type_url] = _every(work, type_url, named, others) if others else named
    return ResourceSet(MappingProxyType(resources), tuple(sorted(problems.union(_problems(work)))), frozenset(secrets))


@dataclass(frozen=True, eq=False)
class _Joined:
    """All resources of a type, and what they were joined from."""

    made_of: tuple[object, ...]
    resources: Resources


def _every(work: Compilation, type_url: str, named: Resources, others: Resources) -> Resources:
    """Both, sorted: one mapping for all classes that have the same; of two of one name what is made of services
    counts."""
    made_of = (named, *others.values())

    def build(_: Before) -> _Joined:
        every = {**others, **named}
        return _Joined(made_of, MappingProxyType({name: every[name] for name in sorted(every)}))

    return work.newest_alike(("joined", type_url), made_of, build).resources


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
