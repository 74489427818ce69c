"""The kinds of the Gateway API (gateway.networking.k8s.io): checked as their CRDs do, and stored."""

from meshcore.model.gateway_api.references import GATEWAY_API
from meshcore.model.kinds import GATEWAY_API_TRIALS

from galley.core.kind_rules import KindRules
from galley.core.kinds.gateway_api.gateways import check_gateway, check_listener_set
from galley.core.kinds.gateway_api.policies import check_backend, check_backend_tls, check_traffic_policy
from galley.core.kinds.gateway_api.routes import check_connection_route, check_grpc_route, check_http_route
from galley.core.kube_api.columns import field

_HOSTNAMES = field("Hostnames", "spec", "hostnames")

RULES = (
    KindRules(GATEWAY_API, "GatewayClass", columns=(field("Controller", "spec", "controllerName"),)),
    KindRules(GATEWAY_API, "Gateway", validate=check_gateway, columns=(field("Class", "spec", "gatewayClassName"),)),
    KindRules(GATEWAY_API, "ListenerSet", validate=check_listener_set),
    KindRules(GATEWAY_API, "HTTPRoute", validate=check_http_route, columns=(_HOSTNAMES,)),
    KindRules(GATEWAY_API, "GRPCRoute", validate=check_grpc_route, columns=(_HOSTNAMES,)),
    KindRules(GATEWAY_API, "TCPRoute", validate=check_connection_route),
    KindRules(GATEWAY_API, "TLSRoute", validate=check_connection_route, columns=(_HOSTNAMES,)),
    KindRules(GATEWAY_API, "UDPRoute", validate=check_connection_route),
    KindRules(GATEWAY_API, "ReferenceGrant"),
    KindRules(GATEWAY_API, "BackendTLSPolicy", validate=check_backend_tls),
    KindRules(GATEWAY_API_TRIALS, "XBackend", validate=check_backend),
    KindRules(GATEWAY_API_TRIALS, "XBackendTrafficPolicy", validate=check_traffic_policy),
    KindRules(GATEWAY_API_TRIALS, "XMesh"),
)
