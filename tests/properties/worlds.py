"""Small meshes drawn whole: services that stand, and around them objects of every kind that Pilot compiles."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from meshcore.model import MeshConfig
from meshcore.model.authorization_policy import AuthorizationPolicySpec
from meshcore.model.base import MeshModel, MeshObject
from meshcore.model.destination_rule import DestinationRuleSpec, TrafficPolicy
from meshcore.model.extension_provider import ExtensionProvider
from meshcore.model.gateway import GatewaySpec
from meshcore.model.ingress import IngressSpec
from meshcore.model.load import parse_object
from meshcore.model.peer_authentication import PeerAuthenticationSpec
from meshcore.model.request_authentication import RequestAuthenticationSpec
from meshcore.model.service_entry import ServiceEntrySpec
from meshcore.model.sidecar import SidecarSpec
from meshcore.model.telemetry import TelemetrySpec
from meshcore.model.traffic_extension import TrafficExtensionSpec, WasmPluginSpec
from meshcore.model.virtual_service import VirtualServiceSpec
from meshcore.model.workload import WorkloadGroupSpec

from tests.properties.drawn_documents import accepted, accepted_mesh, drawn
from tests.properties.words_of_filters import PROVIDERS

PROXIES = {
    "captured sidecar": {
        "id": "sidecar~10.1.0.9~reviews.shop~shop.svc.cluster.local",
        "metadata": {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "reviews", "LABELS": {"app": "reviews", "v": "1"}},
    },
    "sidecar on its own addresses": {
        "id": "sidecar~127.1.0.2~reviews.shop~shop.svc.cluster.local",
        "metadata": {
            "NAMESPACE": "shop",
            "SERVICE_ACCOUNT": "reviews",
            "LABELS": {"app": "reviews"},
            "INTERCEPTION_MODE": "NONE",
            "MESHCORE_APP_ADDRESS": "127.1.1.2",
            "HTTP_PROXY_PORT": "15080",
            "MESHCORE_AUDIT": "true",
        },
    },
    "gateway": {
        "id": "router~10.1.0.8~gate.shop~shop.svc.cluster.local",
        "metadata": {
            "NAMESPACE": "shop",
            "SERVICE_ACCOUNT": "gate",
            "LABELS": {"app": "reviews", "v": "1", "istio": "ingressgateway"},
            "MESHCORE_AUDIT": "true",
        },
    },
}
"""Nodes of each form of proxy: the compiler takes different ways for them."""

_PORTS = [
    {"name": "http", "port": 9080, "targetPort": 8080},
    {"name": "tcp-raw", "port": 9000},
    {"name": "auto", "port": 9090},
    {"name": "https", "port": 443},
    {"name": "grpc", "port": 80},
]
_STANDING: tuple[dict[str, Any], ...] = (
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "reviews", "namespace": "shop"},
        "spec": {"clusterIP": "10.0.0.1", "selector": {"app": "reviews"}, "ports": _PORTS},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "headless", "namespace": "shop"},
        "spec": {"clusterIP": "None", "selector": {"app": "reviews"}, "ports": _PORTS[:3]},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "plain", "namespace": "shop"},
        "spec": {"clusterIP": "2001:db8::7", "ports": _PORTS[:2]},
    },
    {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": "w", "namespace": "shop"},
        "spec": {"address": "10.1.0.1", "labels": {"app": "reviews", "v": "1"}, "serviceAccount": "reviews"},
    },
)
_ENVOY_PATCHES: tuple[dict[str, Any], ...] = (
    {"applyTo": "CLUSTER", "patch": {"operation": "MERGE", "value": {"connect_timeout": "3s"}}},
    {"applyTo": "VIRTUAL_HOST", "patch": {"operation": "MERGE", "value": {"include_request_attempt_count": True}}},
    {
        "applyTo": "ROUTE_CONFIGURATION",
        "patch": {"operation": "MERGE", "value": {"max_direct_response_body_size_bytes": 9}},
    },
    {"applyTo": "LISTENER", "patch": {"operation": "MERGE", "value": {"tcp_backlog_size": 7}}},
    {
        "applyTo": "HTTP_FILTER",
        "patch": {
            "operation": "INSERT_FIRST",
            "value": {
                "name": "buffer",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
                    "max_request_bytes": 9,
                },
            },
        },
    },
)
_MESH = (  # noqa: SIM905 - easier to read
    "connectTimeout protocolDetectionTimeout dnsRefreshRate tcpKeepalive verifyCertificateAtClient enableAutoMtls "
    "meshMTLS tlsDefaults outboundTrafficPolicy inboundTrafficPolicy pathNormalization h2UpgradePolicy proxyHttpPort "
    "defaultHttpRetryPolicy defaultInboundHttpRetryPolicy defaultTrafficPolicy localityLbSetting zoneAwareLbSetting "
    "accessLogFormat accessLogEncoding inboundClusterStatName outboundClusterStatName maxInboundConnectionDuration "
    "accessLogFile enableTracing defaultProviders ingressControllerMode requestAudit trustDomainAliases"
).split()
"""What MeshConfig says about the data plane."""


_SECURITY = ("PeerAuthentication", "AuthorizationPolicy", "RequestAuthentication")
_API_VERSIONS = {
    **dict.fromkeys(_SECURITY, "security.istio.io/v1"),
    "EnvoyFilter": "networking.istio.io/v1alpha3",
    "Telemetry": "telemetry.istio.io/v1",
    **dict.fromkeys(("WasmPlugin", "TrafficExtension"), "extensions.istio.io/v1alpha1"),
    "Ingress": "networking.k8s.io/v1",
}


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "shop"}
    if kind == "Ingress" and "ingressClassName" not in spec:
        metadata["annotations"] = {"kubernetes.io/ingress.class": "istio"}
    version = _API_VERSIONS.get(kind, "networking.istio.io/v1")
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _some(kind: str, names: str, model: type[MeshModel], *must: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    specs = st.lists(drawn(model, must=must), max_size=len(names))
    return specs.map(lambda found: [_object(kind, name, spec) for name, spec in zip(names, found, strict=False)])


def _mesh(drawn_ones: tuple[Mapping[str, Any], list[dict[str, Any]]]) -> dict[str, Any]:
    """The mesh config; its providers have names that policies know, and what is wrong with one is only warned of."""
    general, providers = drawn_ones
    named = [{**provider, "name": name} for provider, name in zip(providers, PROVIDERS, strict=False)]
    return accepted_mesh({**general, "extensionProviders": named})


_LEFT_OUT = sorted({info.alias or name for name, info in MeshConfig.model_fields.items()} - set(_MESH))
_policies = st.builds(
    lambda host, policy, subsets: {"host": host, "trafficPolicy": policy, "subsets": subsets},
    st.sampled_from(["reviews", "headless", "plain", "api.example", "*.wild.example"]),
    drawn(TrafficPolicy),
    st.just([{"name": "v1", "labels": {"v": "1"}}]),
)
_DRAWN = st.tuples(
    _some("VirtualService", "ab", VirtualServiceSpec, "hosts", "http"),
    _some("VirtualService", "cd", VirtualServiceSpec, "hosts", "tls"),
    _some("VirtualService", "ef", VirtualServiceSpec, "hosts", "tcp"),
    _some("DestinationRule", "ab", DestinationRuleSpec, "trafficPolicy"),
    st.lists(_policies, max_size=2).map(
        lambda found: [_object("DestinationRule", f"p{i}", d) for i, d in enumerate(found)]
    ),
    _some("Gateway", "ab", GatewaySpec, "servers"),
    _some("ServiceEntry", "ab", ServiceEntrySpec, "ports"),
    _some("Sidecar", "a", SidecarSpec),
    _some("PeerAuthentication", "a", PeerAuthenticationSpec),
    _some("AuthorizationPolicy", "abc", AuthorizationPolicySpec, "rules"),
    st.lists(st.sampled_from(_ENVOY_PATCHES), max_size=2).map(
        lambda patches: [_object("EnvoyFilter", "a", {"configPatches": patches})] if patches else []
    ),
    _some("RequestAuthentication", "ab", RequestAuthenticationSpec, "jwtRules"),
    _some("Telemetry", "ab", TelemetrySpec, "accessLogging", "tracing", "metrics"),
    _some("TrafficExtension", "ab", TrafficExtensionSpec),
    _some("WasmPlugin", "c", WasmPluginSpec),
    _some("Ingress", "ab", IngressSpec, "rules"),
    _some("WorkloadGroup", "a", WorkloadGroupSpec),
)
_MESHES = st.tuples(
    drawn(MeshConfig, without=_LEFT_OUT), st.lists(drawn(ExtensionProvider), max_size=len(PROVIDERS))
).map(_mesh)


STANDING: tuple[MeshObject, ...] = tuple(parse_object(document) for document in _STANDING)
"""The services alone."""


def _accepted(drawn_ones: tuple[tuple[list[dict[str, Any]], ...], dict[str, Any]]) -> list[MeshObject]:
    groups, mesh = drawn_ones
    found = (accepted(document) for group in groups for document in group)
    return [parse_object(document) for document in (*_STANDING, *found, mesh) if document is not None]


worlds: st.SearchStrategy[list[MeshObject]] = st.tuples(_DRAWN, _MESHES).map(_accepted)
"""Meshes of objects each of which Galley accepts."""
