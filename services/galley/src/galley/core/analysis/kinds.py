"""The kinds that analysis reads, by group and name; versions do not matter to it."""

from typing import NamedTuple


class Kind(NamedTuple):
    """Group and name of a kind."""

    group: str
    name: str


_NETWORKING = "networking.istio.io"
_SECURITY = "security.istio.io"
_GATEWAY_API = "gateway.networking.k8s.io"
_ADMISSION = "admissionregistration.k8s.io"

VIRTUAL_SERVICE = Kind(_NETWORKING, "VirtualService")
DESTINATION_RULE = Kind(_NETWORKING, "DestinationRule")
GATEWAY = Kind(_NETWORKING, "Gateway")
SERVICE_ENTRY = Kind(_NETWORKING, "ServiceEntry")
SIDECAR = Kind(_NETWORKING, "Sidecar")
WORKLOAD_ENTRY = Kind(_NETWORKING, "WorkloadEntry")
WORKLOAD_GROUP = Kind(_NETWORKING, "WorkloadGroup")
ENVOY_FILTER = Kind(_NETWORKING, "EnvoyFilter")
PROXY_CONFIG = Kind(_NETWORKING, "ProxyConfig")
REQUEST_AUTHENTICATION = Kind(_SECURITY, "RequestAuthentication")
AUTHORIZATION_POLICY = Kind(_SECURITY, "AuthorizationPolicy")
TELEMETRY = Kind("telemetry.istio.io", "Telemetry")
WASM_PLUGIN = Kind("extensions.istio.io", "WasmPlugin")
KUBERNETES_GATEWAY = Kind(_GATEWAY_API, "Gateway")
HTTP_ROUTE = Kind(_GATEWAY_API, "HTTPRoute")
GRPC_ROUTE = Kind(_GATEWAY_API, "GRPCRoute")
SERVICE = Kind("", "Service")
NAMESPACE = Kind("", "Namespace")
POD = Kind("", "Pod")
NODE = Kind("", "Node")
SECRET = Kind("", "Secret")
CONFIG_MAP = Kind("", "ConfigMap")
DEPLOYMENT = Kind("apps", "Deployment")
MUTATING_WEBHOOKS = Kind(_ADMISSION, "MutatingWebhookConfiguration")
VALIDATING_WEBHOOKS = Kind(_ADMISSION, "ValidatingWebhookConfiguration")
CUSTOM_RESOURCE_DEFINITION = Kind("apiextensions.k8s.io", "CustomResourceDefinition")
MESH_NETWORKS = Kind("", "MeshNetworks")

CLUSTER_SCOPED = frozenset(
    {
        "Namespace",
        "Node",
        "PersistentVolume",
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "GatewayClass",
        "IngressClass",
        "ClusterRole",
        "ClusterRoleBinding",
        "StorageClass",
        "PriorityClass",
    }
)
"""Kinds whose objects are in no namespace."""
