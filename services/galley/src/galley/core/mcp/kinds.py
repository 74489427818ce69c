"""Which kinds leave Galley over MCP and MCP over xDS, under which names, as which messages. Nothing else ever does."""

import re
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from meshcore._generated.istio.extensions.v1alpha1 import extensions_pb2
from meshcore._generated.istio.networking.v1alpha3 import (
    destination_policy_pb2,
    edges_pb2,
    envoy_patches_pb2,
    routing_pb2,
)
from meshcore._generated.istio.networking.v1beta1 import proxy_config_pb2
from meshcore._generated.istio.security.v1beta1 import policies_pb2
from meshcore._generated.istio.telemetry.v1alpha1 import telemetry_pb2
from meshcore.model.kinds import NETWORKING, SECURITY

EXTENSIONS, TELEMETRY = "extensions.istio.io", "telemetry.istio.io"
MESH_CONFIG_TYPE = "core/v1alpha1/MeshConfig"


@dataclass(frozen=True, slots=True)
class WireKind:
    """One kind on the wire."""

    group: str
    plural: str
    kind: str
    message: type[Message]
    """The message of its spec, whatever version the object has."""
    collection: str = ""
    """Its name in MCP; "" for kinds that are younger than MCP."""


def _kind(group: str, plural: str, kind: str, module: Any, collection: str = "") -> WireKind:
    return WireKind(group, plural, kind, getattr(module, kind), f"{collection}/{plural}" if collection else "")


_V1ALPHA3 = "istio/networking/v1alpha3"
_POLICIES = "istio/security/v1beta1"

WIRE_KINDS: tuple[WireKind, ...] = (
    _kind(NETWORKING, "virtualservices", "VirtualService", routing_pb2, _V1ALPHA3),
    _kind(NETWORKING, "destinationrules", "DestinationRule", destination_policy_pb2, _V1ALPHA3),
    _kind(NETWORKING, "gateways", "Gateway", edges_pb2, _V1ALPHA3),
    _kind(NETWORKING, "serviceentries", "ServiceEntry", edges_pb2, _V1ALPHA3),
    _kind(NETWORKING, "sidecars", "Sidecar", edges_pb2, _V1ALPHA3),
    _kind(NETWORKING, "envoyfilters", "EnvoyFilter", envoy_patches_pb2, _V1ALPHA3),
    _kind(NETWORKING, "workloadentries", "WorkloadEntry", edges_pb2, _V1ALPHA3),
    _kind(NETWORKING, "workloadgroups", "WorkloadGroup", edges_pb2, _V1ALPHA3),
    _kind(NETWORKING, "proxyconfigs", "ProxyConfig", proxy_config_pb2),
    _kind(SECURITY, "authorizationpolicies", "AuthorizationPolicy", policies_pb2, _POLICIES),
    _kind(SECURITY, "peerauthentications", "PeerAuthentication", policies_pb2, _POLICIES),
    _kind(SECURITY, "requestauthentications", "RequestAuthentication", policies_pb2, _POLICIES),
    _kind(TELEMETRY, "telemetries", "Telemetry", telemetry_pb2),
    _kind(EXTENSIONS, "wasmplugins", "WasmPlugin", extensions_pb2),
    _kind(EXTENSIONS, "trafficextensions", "TrafficExtension", extensions_pb2),
)

KIND_OF_KEY = {(kind.group, kind.plural): kind for kind in WIRE_KINDS}
_BY_TYPE = {(kind.group, kind.kind): kind for kind in WIRE_KINDS}
_VERSION = re.compile(r"v[0-9]{1,3}((alpha|beta)[0-9]{1,3})?")

# Sinks of MCP's time ask for these too and wait for an answer; nothing is ever in them here.
_EMPTY_COLLECTIONS = (
    f"{_V1ALPHA3}/synthetic/serviceentries",
    "istio/authentication/v1alpha1/policies",
    "istio/authentication/v1alpha1/meshpolicies",
    *(f"istio/rbac/v1alpha1/{name}" for name in ("serviceroles", "servicerolebindings", "rbacconfigs", "policies")),
    "istio/rbac/v1alpha1/clusterrbacconfigs",
    "istio/mesh/v1alpha1/MeshConfig",
    *(f"istio/policy/v1beta1/{name}" for name in ("handlers", "instances", "rules", "attributemanifests")),
    *(f"istio/config/v1alpha2/{name}" for name in ("adapters", "templates", "httpapispecs", "httpapispecbindings")),
    *(f"istio/config/v1alpha2/legacy/{name}" for name in ("handlers", "instances", "rules")),
    "istio/mixer/v1/config/client/quotaspecs",
    "istio/mixer/v1/config/client/quotaspecbindings",
    *(f"k8s/core/v1/{name}" for name in ("namespaces", "services", "pods", "nodes", "endpoints")),
)

COLLECTIONS: dict[str, WireKind | None] = {
    **{kind.collection: kind for kind in WIRE_KINDS if kind.collection},
    **dict.fromkeys(_EMPTY_COLLECTIONS),
}
"""Every collection that a sink may ask for; None for those that are always empty."""


def kind_of_type(type_url: str) -> WireKind | None:
    """The kind of `group/version/Kind`, in any version that Istio ever had; None for everything else."""
    parts = type_url.split("/")
    if len(parts) != 3 or not _VERSION.fullmatch(parts[1]):
        return None
    return _BY_TYPE.get((parts[0], parts[2]))
