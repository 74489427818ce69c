"""Which kinds there are: group, versions, names, scope and model. Everything that lists kinds reads this table."""

from dataclasses import dataclass, replace

from meshcore.errors import ErrorCode, MeshError
from meshcore.model.authorization_policy import AuthorizationPolicy
from meshcore.model.base import MeshObject
from meshcore.model.cluster import Node, Pod, Secret
from meshcore.model.core_v1 import ConfigMap, Endpoints, Namespace, Service, ServiceAccount
from meshcore.model.destination_rule import DestinationRule
from meshcore.model.endpoint_slice import EndpointSlice
from meshcore.model.envoy_filter import EnvoyFilter
from meshcore.model.gateway import Gateway
from meshcore.model.gateway_api.references import GATEWAY_API
from meshcore.model.ingress import Ingress, IngressClass
from meshcore.model.later import Later
from meshcore.model.mixer.names import MIXER_KINDS
from meshcore.model.peer_authentication import PeerAuthentication
from meshcore.model.proxy_config import ProxyConfig
from meshcore.model.request_authentication import RequestAuthentication
from meshcore.model.service_entry import ServiceEntry
from meshcore.model.sidecar import Sidecar
from meshcore.model.telemetry import Telemetry
from meshcore.model.traffic_extension import TrafficExtension, WasmPlugin
from meshcore.model.virtual_service import VirtualService
from meshcore.model.workload import WorkloadEntry, WorkloadGroup

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
TELEMETRY = "telemetry.istio.io"
EXTENSIONS = "extensions.istio.io"
MIXER = "config.istio.io"
GATEWAY_API_TRIALS = "gateway.networking.x-k8s.io"
DISCOVERY = "discovery.k8s.io"
KUBERNETES_NETWORKING = "networking.k8s.io"
CORE = ""


@dataclass(frozen=True, slots=True)
class KindInfo:
    """One kind; `versions` in order of preference, the first is how it is stored and published."""

    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    singular: str
    source: type[MeshObject] | Later
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    has_status: bool = True

    @property
    def model(self) -> type[MeshObject]:
        """What an object of this kind looks like."""
        return self.source.model() if isinstance(self.source, Later) else self.source

    @property
    def storage_version(self) -> str:
        """The version in which objects are stored and published."""
        return self.versions[0]

    @property
    def api_version(self) -> str:
        """`group/version` of the storage version; only `v1` for the core group."""
        return self.api_version_of(self.storage_version)

    def api_version_of(self, version: str) -> str:
        """`group/version`."""
        return f"{self.group}/{version}" if self.group else version


def _istio(group: str, kind: str, plural: str, model: type[MeshObject], *short: str) -> KindInfo:
    categories = ("istio-io", group.replace(".", "-"))
    return KindInfo(group, _VERSIONS[group], kind, plural, kind.lower(), model, short, categories)


def _gateway_api(
    kind: str, plural: str, source: Later, versions: tuple[str, ...], *short: str, namespaced: bool = True
) -> KindInfo:
    group = GATEWAY_API_TRIALS if kind.startswith("X") else GATEWAY_API
    return KindInfo(group, versions, kind, plural, kind.lower(), source, short, ("gateway-api",), namespaced)


def _gateway(name: str) -> Later:
    return Later("gateway_api.gateways", name)


def _route(name: str) -> Later:
    return Later("gateway_api.routes", name)


def _policy(name: str) -> Later:
    return Later("gateway_api.policies", name)


_VERSIONS = {
    NETWORKING: ("v1", "v1beta1", "v1alpha3"),
    SECURITY: ("v1", "v1beta1"),
    TELEMETRY: ("v1", "v1alpha1"),
    EXTENSIONS: ("v1alpha1",),
}


KINDS: tuple[KindInfo, ...] = (
    _istio(NETWORKING, "VirtualService", "virtualservices", VirtualService, "vs"),
    _istio(NETWORKING, "DestinationRule", "destinationrules", DestinationRule, "dr"),
    _istio(NETWORKING, "ServiceEntry", "serviceentries", ServiceEntry, "se"),
    _istio(NETWORKING, "WorkloadEntry", "workloadentries", WorkloadEntry, "we"),
    _istio(NETWORKING, "WorkloadGroup", "workloadgroups", WorkloadGroup, "wg"),
    _istio(NETWORKING, "Sidecar", "sidecars", Sidecar),
    _istio(NETWORKING, "Gateway", "gateways", Gateway, "gw"),
    replace(_istio(NETWORKING, "EnvoyFilter", "envoyfilters", EnvoyFilter), versions=("v1alpha3",)),
    replace(_istio(NETWORKING, "ProxyConfig", "proxyconfigs", ProxyConfig), versions=("v1beta1",)),
    _istio(SECURITY, "PeerAuthentication", "peerauthentications", PeerAuthentication, "pa"),
    _istio(SECURITY, "RequestAuthentication", "requestauthentications", RequestAuthentication, "ra"),
    _istio(SECURITY, "AuthorizationPolicy", "authorizationpolicies", AuthorizationPolicy, "ap"),
    _istio(TELEMETRY, "Telemetry", "telemetries", Telemetry),
    _istio(EXTENSIONS, "WasmPlugin", "wasmplugins", WasmPlugin),
    _istio(EXTENSIONS, "TrafficExtension", "trafficextensions", TrafficExtension),
    KindInfo(CORE, ("v1",), "Service", "services", "service", Service, ("svc",), ("all",)),
    KindInfo(CORE, ("v1",), "Endpoints", "endpoints", "endpoints", Endpoints, ("ep",), has_status=False),
    KindInfo(CORE, ("v1",), "Namespace", "namespaces", "namespace", Namespace, ("ns",), namespaced=False),
    KindInfo(
        CORE, ("v1",), "ServiceAccount", "serviceaccounts", "serviceaccount", ServiceAccount, ("sa",), has_status=False
    ),
    KindInfo(CORE, ("v1",), "ConfigMap", "configmaps", "configmap", ConfigMap, ("cm",), has_status=False),
    KindInfo(CORE, ("v1",), "Secret", "secrets", "secret", Secret, has_status=False),
    KindInfo(CORE, ("v1",), "Pod", "pods", "pod", Pod, ("po",), ("all",)),
    KindInfo(CORE, ("v1",), "Node", "nodes", "node", Node, ("no",), namespaced=False),
    KindInfo(DISCOVERY, ("v1",), "EndpointSlice", "endpointslices", "endpointslice", EndpointSlice, has_status=False),
    KindInfo(KUBERNETES_NETWORKING, ("v1",), "Ingress", "ingresses", "ingress", Ingress, ("ing",)),
    KindInfo(
        KUBERNETES_NETWORKING,
        ("v1",),
        "IngressClass",
        "ingressclasses",
        "ingressclass",
        IngressClass,
        namespaced=False,
        has_status=False,
    ),
    _gateway_api("GatewayClass", "gatewayclasses", _gateway("GatewayClass"), ("v1", "v1beta1"), "gc", namespaced=False),
    _gateway_api("Gateway", "gateways", _gateway("KubernetesGateway"), ("v1", "v1beta1"), "gtw"),
    _gateway_api("HTTPRoute", "httproutes", _route("HttpRoute"), ("v1", "v1beta1")),
    _gateway_api("GRPCRoute", "grpcroutes", _route("GrpcRoute"), ("v1",)),
    _gateway_api("TCPRoute", "tcproutes", _route("TcpRoute"), ("v1", "v1alpha2")),
    _gateway_api("TLSRoute", "tlsroutes", _route("TlsRoute"), ("v1", "v1alpha2", "v1alpha3")),
    _gateway_api("UDPRoute", "udproutes", _route("UdpRoute"), ("v1", "v1alpha2")),
    _gateway_api("ListenerSet", "listenersets", _gateway("ListenerSet"), ("v1",), "lset"),
    _gateway_api("ReferenceGrant", "referencegrants", _policy("ReferenceGrant"), ("v1", "v1beta1"), "refgrant"),
    _gateway_api(
        "BackendTLSPolicy", "backendtlspolicies", _policy("BackendTlsPolicy"), ("v1", "v1alpha3"), "btlspolicy"
    ),
    _gateway_api("XBackend", "xbackends", _policy("XBackend"), ("v1alpha1",), "xbackend"),
    _gateway_api(
        "XBackendTrafficPolicy",
        "xbackendtrafficpolicies",
        _policy("BackendTrafficPolicy"),
        ("v1alpha1",),
        "xbtrafficpolicy",
    ),
    _gateway_api("XMesh", "xmeshes", _policy("XMesh"), ("v1alpha1",), "mesh", namespaced=False),
    *(
        KindInfo(MIXER, ("v1alpha2",), kind, plural, kind.lower(), source, (), ("istio-io", "policy-istio-io"))
        for kind, plural, source in MIXER_KINDS
    ),
)

_REPLACED = {
    (MIXER, "RouteRule"): "VirtualService (networking.istio.io)",
    (MIXER, "EgressRule"): "ServiceEntry (networking.istio.io)",
    (MIXER, "DestinationPolicy"): "DestinationRule (networking.istio.io)",
    (NETWORKING, "RouteRule"): "VirtualService (networking.istio.io)",
    (NETWORKING, "EgressRule"): "ServiceEntry (networking.istio.io)",
    ("authentication.istio.io", "Policy"): "PeerAuthentication and RequestAuthentication (security.istio.io)",
    ("authentication.istio.io", "MeshPolicy"): "PeerAuthentication (security.istio.io) in the root namespace",
    ("rbac.istio.io", "ServiceRole"): "AuthorizationPolicy (security.istio.io)",
    ("rbac.istio.io", "ServiceRoleBinding"): "AuthorizationPolicy (security.istio.io)",
    ("rbac.istio.io", "ClusterRbacConfig"): "AuthorizationPolicy (security.istio.io)",
}
"""Kinds of the past, by group, and what is used instead."""

_BY_PLURAL = {(info.group, info.plural): info for info in KINDS}
_BY_KIND = {(info.api_version_of(version), info.kind): info for info in KINDS for version in info.versions}


def find_plural(group: str, plural: str) -> KindInfo | None:
    """The kind of that plural, or None."""
    return _BY_PLURAL.get((group, plural))


def by_plural(group: str, plural: str) -> KindInfo:
    """The kind of that plural; NOT_FOUND if there is none."""
    info = _BY_PLURAL.get((group, plural))
    if info is None:
        raise MeshError(ErrorCode.NOT_FOUND, f"there is no resource {plural!r} in group {group!r}")
    return info


def by_kind(api_version: str, kind: str) -> KindInfo:
    """The kind of a document; NOT_FOUND names the apiVersions that would be right, if the kind exists."""
    info = _BY_KIND.get((api_version, kind))
    if info is not None:
        return info
    if replacement := _REPLACED.get((api_version.partition("/")[0], kind)):
        raise MeshError(ErrorCode.NOT_FOUND, f"the kind {kind!r} is not supported any more: use {replacement}")
    served = sorted(version for version, name in _BY_KIND if name == kind)
    hint = f"; it is served as {', '.join(served)}" if served else ""
    raise MeshError(ErrorCode.NOT_FOUND, f"there is no kind {kind!r} in version {api_version!r}{hint}")
