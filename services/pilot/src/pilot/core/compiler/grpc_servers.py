"""What a gRPC server without a proxy is given: one listener for each address that it may serve on, by the name that its
bootstrap makes of it (gRFC A36, A29). Pure.

A server ends mTLS where its PeerAuthentication says STRICT. It cannot take both, so PERMISSIVE means what proxies speak
to it: mTLS when its label or its endpoint says that it is in the mesh.
AuthorizationPolicies and the trust domains of callers are the RBAC filters of `grpc_authorization`.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from meshcore.model.peer_authentication import MtlsMode
from meshcore.xds.names import grpc_inbound_listener
from meshcore.xds.origin import Origins
from meshcore.xds.types import LISTENER_TYPE

from pilot.core.compiler.cache import Same
from pilot.core.compiler.context import Compilation, Compiled, packed
from pilot.core.compiler.grpc_authorization import grpc_authorization, trusted_callers
from pilot.core.compiler.grpc_tls import provided_termination
from pilot.core.compiler.inbound_ports import InboundPort, inbound_ports
from pilot.core.compiler.messages import any_of, socket_address
from pilot.core.registry.endpoint import ISTIO_TLS, TLS_MODE_LABEL

_ANY = ("0.0.0.0", "::")
_MANAGER = "envoy.filters.network.http_connection_manager"


def grpc_servers(work: Compilation) -> Iterator[Compiled]:
    """The listeners that the workload's servers may ask for."""
    one = work.proxy_class
    policies = work.mtls(one.namespace)
    authorization = grpc_authorization(work)
    for port in inbound_ports(work):
        mode = policies.mode(one.label_map, port.target)
        mutual = mode is MtlsMode.STRICT or (mode is MtlsMode.PERMISSIVE and _is_meshed(work, port))
        filters = (trusted_callers(work.mesh), *authorization.filters) if mutual else authorization.filters
        origins = (*port.makers, *policies.decider(one.label_map, port.target), *authorization.origins)
        for address in (*one.instance_ips, *_ANY):
            key = ("grpc-server", address, port.target, mutual, origins, Same(authorization), Same(work.mesh))
            yield work.memo(key, partial(_listener, address, port.target, origins, filters, mutual=mutual))


def _is_meshed(work: Compilation, port: InboundPort) -> bool:
    said = work.proxy_class.label_map.get(TLS_MODE_LABEL)
    if said is not None:
        return said == ISTIO_TLS
    addresses = work.proxy_class.instance_ips
    return any(one.tls_mode == ISTIO_TLS for one in work.endpoints(port.service) if one.address in addresses)


def _listener(address: str, port: int, origins: Origins, filters: Sequence[Any], *, mutual: bool) -> Compiled:
    name = grpc_inbound_listener(address, port)
    manager = http_connection_manager_pb2.HttpConnectionManager(stat_prefix=name)
    manager.route_config.CopyFrom(_routes(name))
    manager.http_filters.extend(filters)
    manager.http_filters.add(name="envoy.filters.http.router", typed_config=any_of(router_pb2.Router()))
    chain = listener_components_pb2.FilterChain(name="inbound")
    chain.filters.add(name=_MANAGER, typed_config=any_of(manager))
    if mutual:
        chain.transport_socket.CopyFrom(provided_termination())
    listener = listener_pb2.Listener(name=name, address=socket_address(address, port), filter_chains=[chain])
    return packed(LISTENER_TYPE, name, listener, beside=origins)


def _routes(name: str) -> route_pb2.RouteConfiguration:
    """Every call is the server's own."""
    made = route_pb2.RouteConfiguration(name=name)
    host = made.virtual_hosts.add(name=name, domains=["*"])
    route = host.routes.add(name="default")
    route.match.prefix = "/"
    route.non_forwarding_action.SetInParent()
    return made
