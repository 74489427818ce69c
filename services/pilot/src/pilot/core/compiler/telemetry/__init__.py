"""Telemetry: what listeners tell about their traffic. The loggers and tracing of the mesh config are built with the
listeners; where Telemetry or default providers say otherwise they are replaced here. Pure."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from meshcore.xds.types import LISTENER_TYPE

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.listener_sides import Side, listener_side, side_of
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.peer_names import own_names
from pilot.core.compiler.repacking import repacked
from pilot.core.compiler.stages import Stage
from pilot.core.compiler.telemetry.access_logging import asked_logs, listener_loggers, loggers, service_loggers
from pilot.core.compiler.telemetry.metric_labels import Reporter
from pilot.core.compiler.telemetry.metrics import asked_metrics, metric_loggers
from pilot.core.compiler.telemetry.peer_metadata import introduce
from pilot.core.compiler.telemetry.scope import Scope, telemetry_scope
from pilot.core.compiler.telemetry.tracing import asked_tracing, missing_tracer, trace
from pilot.core.diagnostics import Diagnostic, Severity

__all__ = ["observed", "telemetry_problems"]

_Manager = http_connection_manager_pb2.HttpConnectionManager
_Tcp = tcp_proxy_pb2.TcpProxy


def observed(work: Compilation, compiled: Iterable[Compiled]) -> Iterator[Compiled]:
    """The resources with the loggers, metrics and tracing in the listeners that are asked for."""
    scope = telemetry_scope(work)
    if not _says_anything(scope):
        yield from compiled
        return
    # Where there are providers they are looked up among the services, which change more often than listeners.
    seen = Same(work.scope.services) if scope.mesh.extension_providers else None
    stage = Stage[Compiled](work, "observed", (Same(scope), seen))
    for item in compiled:
        is_listener = item.resource.type_url == LISTENER_TYPE
        yield stage.of(item, partial(_observe, work, scope, item)) if is_listener else item


def telemetry_problems(work: Compilation) -> Iterator[Diagnostic]:
    """Providers that are named and cannot be had."""
    scope = telemetry_scope(work)
    config = scope.configs[-1].path if scope.configs else "/api/v1/namespaces/istio-system/config-map/istio"
    for name, reason in sorted({missing for side in Side for missing in _missing(work, scope, side)}):
        text = f"The provider {name} is not used: {reason}."
        yield Diagnostic("provider-not-usable", config, text, Severity.ERROR)


def _missing(work: Compilation, scope: Scope, side: Side) -> Iterator[tuple[str, str]]:
    asked = asked_logs(scope, side)
    if asked is not None:
        yield from loggers(work, scope, asked, http=True).missing
    traced = asked_tracing(scope, side)
    if traced is not None:
        yield from missing_tracer(work, scope, traced)


def _says_anything(scope: Scope) -> bool:
    default = scope.mesh.default_providers
    logged = default.access_logging or scope.mesh.access_log_file or scope.mesh.enable_envoy_access_log_service
    return bool(scope.configs or default.metrics or scope.mesh.enable_tracing or logged)


def _observe(work: Compilation, scope: Scope, item: Compiled) -> Compiled:
    listener = listener_pb2.Listener.FromString(item.resource.body)
    chains = [*listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    before = listener.SerializeToString(deterministic=True)
    for chain in chains:
        side, _ = side_of(listener, chain)
        for filter_ in chain.filters:
            if filter_.typed_config.Is(_Manager.DESCRIPTOR):
                manager = _Manager.FromString(filter_.typed_config.value)
                _observe_http(work, scope, side, chain, manager)
                filter_.typed_config.CopyFrom(any_of(manager))
            elif filter_.typed_config.Is(_Tcp.DESCRIPTOR):
                proxy = _Tcp.FromString(filter_.typed_config.value)
                _set_logs(work, scope, side, chain, proxy.access_log, http=False)
                filter_.typed_config.CopyFrom(any_of(proxy))
    if not scope.mesh.disable_envoy_listener_log:
        listener.access_log.extend(listener_loggers(work, scope, asked_logs(scope, listener_side(listener))))
    if listener.SerializeToString(deterministic=True) == before:
        return item
    return repacked(item, listener, [config.ref for config in scope.configs])


def _observe_http(work: Compilation, scope: Scope, side: Side, chain: Any, manager: Any) -> None:
    _set_logs(work, scope, side, chain, manager.access_log, http=True)
    told = side is Side.SERVER and scope.mesh.default_providers.metrics  # by others, and no application is to see it
    if told or asked_metrics(scope, side) is not None or asked_logs(scope, side):
        introduce(manager, chain, side, own_names(work.proxy_class))
    asked = asked_tracing(scope, side)
    if asked is not None:
        trace(work, scope, asked, manager)


def _set_logs(work: Compilation, scope: Scope, side: Side, chain: Any, access_log: Any, *, http: bool) -> None:
    asked = asked_logs(scope, side)
    if asked is not None:
        del access_log[:]
        access_log.extend(loggers(work, scope, asked, http=http).loggers)
    else:
        access_log.extend(service_loggers(work, "http" if http else "tcp"))
    wanted = asked_metrics(scope, side)
    if wanted is not None:
        access_log.extend(metric_loggers(Reporter.of(work.proxy_class, side, chain), wanted, http=http))
