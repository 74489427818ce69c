"""`proxyHeaders`: which headers of its own a proxy adds (MeshConfig `defaultConfig`, or its own ProxyConfig). Pure.

Nothing is looked at where nobody says anything about them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.model.default_proxy_config import ForwardClientCert, HeaderOff, ProxyHeaders
from meshcore.xds.types import LISTENER_TYPE, ROUTE_TYPE

from pilot.core.compiler.context import Compilation, Compiled
from pilot.core.compiler.listener_sides import Side, side_of
from pilot.core.compiler.messages import any_of
from pilot.core.compiler.repacking import repacked
from pilot.core.compiler.stages import Stage
from pilot.core.proxy import ProxyType

_Manager = http_connection_manager_pb2.HttpConnectionManager
_FORWARD = {
    ForwardClientCert.SANITIZE: _Manager.SANITIZE,
    ForwardClientCert.FORWARD_ONLY: _Manager.FORWARD_ONLY,
    ForwardClientCert.APPEND_FORWARD: _Manager.APPEND_FORWARD,
    ForwardClientCert.SANITIZE_SET: _Manager.SANITIZE_SET,
    ForwardClientCert.ALWAYS_FORWARD_ONLY: _Manager.ALWAYS_FORWARD_ONLY,
}
_DETAILS = ("subject", "cert", "chain", "dns", "uri")


def with_proxy_headers(work: Compilation, compiled: Iterable[Compiled]) -> Iterator[Compiled]:
    """The resources with the headers as the proxy is to have them; its own ProxyConfig stands in for the mesh's."""
    headers = work.proxy_class.headers or work.mesh.default_config.proxy_headers
    if headers is None:
        yield from compiled
        return
    gateway = work.proxy_class.type is ProxyType.ROUTER
    changes: Mapping[str, Callable[[ProxyHeaders, bool, Compiled], Compiled]] = {
        LISTENER_TYPE: _listener,
        ROUTE_TYPE: _routes,
    }
    stage = Stage[Compiled](work, "proxy-headers", headers)
    for item in compiled:
        change = changes.get(item.resource.type_url)
        if change is None:
            yield item
        elif item.resource.type_url == LISTENER_TYPE:
            yield stage.of(item, partial(change, headers, gateway, item))
        else:  # what many classes have alike stays one
            key = ("proxy-headers", item.resource, item.resource.origins, item.diagnostics, item.secrets, headers)
            yield work.memo((*key, gateway), partial(change, headers, gateway, item))


def _listener(headers: ProxyHeaders, gateway: bool, item: Compiled) -> Compiled:
    listener = listener_pb2.Listener.FromString(item.resource.body)
    changed = False
    chains = [*listener.filter_chains]
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    for chain in chains:
        tells = gateway or side_of(listener, chain)[0] is Side.SERVER
        for found in chain.filters:
            if found.typed_config.Is(_Manager.DESCRIPTOR):
                manager = _Manager.FromString(found.typed_config.value)
                _apply(headers, manager, tells_of_client=tells)
                found.typed_config.CopyFrom(any_of(manager))
                changed = True
    return repacked(item, listener, ()) if changed else item


def _apply(headers: ProxyHeaders, manager: Any, *, tells_of_client: bool) -> None:
    if headers.server is not None:
        if headers.server.disabled:
            manager.server_header_transformation = _Manager.PASS_THROUGH
        elif headers.server.value:
            manager.server_name = headers.server.value
    if _is_off(headers.request_id):
        manager.generate_request_id.value = False
    if headers.x_forwarded_port is not None and headers.x_forwarded_port.enabled:
        manager.append_x_forwarded_port = True
    if _is_off(headers.envoy_debug_headers):
        for inner in manager.http_filters:
            if inner.typed_config.Is(router_pb2.Router.DESCRIPTOR):
                router = router_pb2.Router.FromString(inner.typed_config.value)
                router.suppress_envoy_headers = True
                inner.typed_config.CopyFrom(any_of(router))
    if tells_of_client:
        _apply_certificate(headers, manager)


def _apply_certificate(headers: ProxyHeaders, manager: Any) -> None:
    if headers.forwarded_client_cert in _FORWARD:
        manager.forward_client_cert_details = _FORWARD[headers.forwarded_client_cert]
    details = headers.set_current_client_cert_details
    for name in _DETAILS if details is not None else ():
        wanted = getattr(details, name)
        if name == "subject" and wanted is not None:
            manager.set_current_client_cert_details.subject.value = wanted
        elif wanted is not None:
            setattr(manager.set_current_client_cert_details, name, wanted)


def _routes(headers: ProxyHeaders, _: bool, item: Compiled) -> Compiled:
    no_count = _is_off(headers.attempt_count)
    told_host = headers.x_forwarded_host is not None and bool(headers.x_forwarded_host.enabled)
    if not no_count and not told_host:
        return item
    routes = route_pb2.RouteConfiguration.FromString(item.resource.body)
    for host in routes.virtual_hosts:
        if no_count:
            host.include_request_attempt_count = False
        for route in host.routes if told_host else ():
            if route.HasField("route"):
                route.route.append_x_forwarded_host = True
    return repacked(item, routes, ())


def _is_off(header: HeaderOff | None) -> bool:
    return header is not None and bool(header.disabled)
