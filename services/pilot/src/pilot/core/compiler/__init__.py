"""The compiler: a snapshot and a class of proxies in, everything that Envoy is to have out.

`compile_resources` takes frozen inputs only and never raises on validated config: what cannot be honoured becomes a
`Diagnostic` in the result. Output is deterministic: names sorted, bytes canonical, whatever the order of arrival. Pure.
"""

from collections.abc import Callable, Iterator

from meshcore.xds.resource import ResourceSet

from pilot.core.compiler.cache import CompileCache
from pilot.core.compiler.clusters import catch_all_clusters, outbound_clusters
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.endpoints import endpoint_resources
from pilot.core.compiler.inbound_clusters import inbound_clusters
from pilot.core.compiler.inbound_ports import inbound_conflicts
from pilot.core.compiler.listeners_inbound import inbound_listeners
from pilot.core.compiler.listeners_outbound import outbound_listeners, route_names
from pilot.core.compiler.outbound_plan import plan
from pilot.core.compiler.routes import route_resources
from pilot.core.diagnostics import Diagnostic
from pilot.core.proxy import Interception, ProxyClass, ProxyType
from pilot.core.snapshot import MeshSnapshot

__all__ = ["CompileCache", "caching_compiler", "compile_resources"]

Compile = Callable[[MeshSnapshot, ProxyClass], ResourceSet]


def caching_compiler(cache: CompileCache | None = None) -> Compile:
    """`compile_resources` with memos that live as long as what is returned: one per process."""
    memos = cache if cache is not None else CompileCache()
    return lambda snapshot, proxy_class: compile_resources(snapshot, proxy_class, memos)


def compile_resources(
    snapshot: MeshSnapshot, proxy_class: ProxyClass, cache: CompileCache | None = None
) -> ResourceSet:
    """Everything that proxies of this class are to have in this mesh; `cache` only makes it faster."""
    work = Compilation(snapshot, proxy_class, cache if cache is not None else CompileCache())
    compiled: dict[tuple[str, str], Compiled] = {}
    for item in _compile(work):
        compiled.setdefault((item.resource.type_url, item.resource.name), item)
    problems = [problem for item in compiled.values() for problem in item.diagnostics]
    problems += _problems(work)
    return ResourceSet.of(
        (item.resource for item in compiled.values()),
        sorted(set(problems)),
    )


def _compile(work: Compilation) -> Iterator[Compiled]:
    yield from outbound_clusters(work)
    yield from inbound_clusters(work)
    yield from catch_all_clusters(work)
    yield from endpoint_resources(work)
    yield from outbound_listeners(work)
    yield from inbound_listeners(work)
    yield from route_resources(work, route_names(work))


def _problems(work: Compilation) -> Iterator[Diagnostic]:
    yield from inbound_conflicts(work)
    one = work.proxy_class
    if one.type is ProxyType.SIDECAR and one.interception is not Interception.NONE:
        yield from plan(work).diagnostics
