"""The kinds of the mesh as frozen models: the single source of schema validation, CRDs, OpenAPI and documents.

Attributes are the Istio API's field names in snake case, JSON names are camelCase; durations are `timedelta`, lists are
tuples, an absent message is None. A model says what a document may look like, not whether it makes sense: semantic
rules live in Galley. Pure.
"""

from meshcore.model.authorization_policy import AuthorizationPolicy
from meshcore.model.base import MeshModel, MeshObject, ObjectMeta
from meshcore.model.core_v1 import ConfigMap, Endpoints, Namespace, Service, ServiceAccount
from meshcore.model.destination_rule import DestinationRule
from meshcore.model.endpoint_slice import EndpointSlice
from meshcore.model.envoy_filter import EnvoyFilter
from meshcore.model.gateway import Gateway
from meshcore.model.ingress import Ingress, IngressClass
from meshcore.model.mesh_config import MeshConfig, parse_mesh_config
from meshcore.model.peer_authentication import PeerAuthentication
from meshcore.model.proxy_config import ProxyConfig
from meshcore.model.request_authentication import RequestAuthentication
from meshcore.model.service_entry import ServiceEntry
from meshcore.model.sidecar import Sidecar
from meshcore.model.telemetry import Telemetry
from meshcore.model.traffic_extension import TrafficExtension, WasmPlugin
from meshcore.model.virtual_service import VirtualService
from meshcore.model.workload import WorkloadEntry, WorkloadGroup

__all__ = [
    "AuthorizationPolicy",
    "ConfigMap",
    "DestinationRule",
    "EndpointSlice",
    "Endpoints",
    "EnvoyFilter",
    "Gateway",
    "Ingress",
    "IngressClass",
    "MeshConfig",
    "MeshModel",
    "MeshObject",
    "Namespace",
    "ObjectMeta",
    "PeerAuthentication",
    "ProxyConfig",
    "RequestAuthentication",
    "Service",
    "ServiceAccount",
    "ServiceEntry",
    "Sidecar",
    "Telemetry",
    "TrafficExtension",
    "VirtualService",
    "WasmPlugin",
    "WorkloadEntry",
    "WorkloadGroup",
    "parse_mesh_config",
]
