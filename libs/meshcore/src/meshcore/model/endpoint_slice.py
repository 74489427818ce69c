"""EndpointSlice: a part of a Service's endpoints (discovery.k8s.io/v1)."""

from collections.abc import Mapping
from typing import Any

from meshcore.model.base import Bool, Int32, Labels, MeshModel, MeshObject

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class EndpointConditions(MeshModel):
    """Unknown counts as ready."""

    ready: Bool | None = None
    serving: Bool | None = None
    terminating: Bool | None = None


class Endpoint(MeshModel):
    """One endpoint; its addresses are interchangeable."""

    addresses: tuple[str, ...]
    conditions: EndpointConditions | None = None
    hostname: str | None = None
    node_name: str | None = None
    zone: str | None = None
    target_ref: Mapping[str, Any] | None = None
    deprecated_topology: Labels = {}
    hints: Mapping[str, Any] | None = None


class EndpointPort(MeshModel):
    """A port by the name that the Service gives it; None means all ports."""

    name: str = ""
    protocol: str = "TCP"
    port: Int32 | None = None
    app_protocol: str | None = None


class EndpointSlice(MeshObject):
    """Endpoints of the Service that the label `kubernetes.io/service-name` names."""

    address_type: str
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()
