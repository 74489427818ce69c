"""GatewayClass, Gateway, ListenerSet: where traffic comes in."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from meshcore.model.base import MeshModel, StatusObject
from meshcore.model.gateway_api.references import (
    GATEWAY_API,
    ControllerName,
    Group,
    Hostname,
    KindName,
    LocalReference,
    NamespaceName,
    ObjectName,
    ObjectReference,
    Options,
    Port,
    SecretReference,
    SectionName,
)


class GatewayClassSpec(MeshModel):
    """Who implements the Gateways of the class."""

    controller_name: ControllerName
    description: Annotated[str, Field(max_length=64)] = ""
    parameters_ref: ObjectReference | None = None


class GatewayClass(StatusObject):
    """A class of Gateways."""

    spec: GatewayClassSpec


class FromNamespaces(StrEnum):
    """Whose routes or listeners may attach."""

    ALL = "All"
    SELECTOR = "Selector"
    SAME = "Same"
    NONE = "None"


class SelectorRequirement(MeshModel):
    """`In`, `NotIn`, `Exists` or `DoesNotExist`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class NamespaceSelector(MeshModel):
    """Namespaces by their labels."""

    match_labels: Mapping[str, str] = {}
    match_expressions: tuple[SelectorRequirement, ...] = ()


class AttachNamespaces(MeshModel):
    """From which namespaces."""

    from_: Annotated[FromNamespaces | None, Field(alias="from")] = None
    selector: NamespaceSelector | None = None


class RouteKind(MeshModel):
    """A kind of routes."""

    group: Group = GATEWAY_API
    kind: KindName


class AllowedRoutes(MeshModel):
    """Which routes may attach; those of the same namespace unless it says otherwise."""

    namespaces: AttachNamespaces | None = None
    kinds: Annotated[tuple[RouteKind, ...], Field(max_length=8)] = ()


class ListenerTlsMode(StrEnum):
    """Whether TLS ends here."""

    TERMINATE = "Terminate"
    PASSTHROUGH = "Passthrough"


class ListenerTls(MeshModel):
    """TLS of a listener."""

    mode: ListenerTlsMode | None = None
    certificate_refs: Annotated[tuple[SecretReference, ...], Field(max_length=64)] = ()
    options: Options = {}


class Listener(MeshModel):
    """A port, a protocol, and perhaps a host."""

    name: SectionName
    hostname: Hostname | None = None
    port: Port
    protocol: Annotated[str, Field(min_length=1, max_length=255)]
    tls: ListenerTls | None = None
    allowed_routes: AllowedRoutes | None = None


Listeners = Annotated[tuple[Listener, ...], Field(min_length=1, max_length=64)]


class GatewayAddress(MeshModel):
    """An address that is asked for."""

    type: Annotated[str, Field(min_length=1, max_length=253)] = "IPAddress"
    value: Annotated[str, Field(max_length=253)] = ""


class Infrastructure(MeshModel):
    """What the objects that make up the Gateway get."""

    labels: Annotated[Mapping[str, Annotated[str, Field(max_length=63)]], Field(max_length=8)] = {}
    annotations: Annotated[Mapping[str, Annotated[str, Field(max_length=4096)]], Field(max_length=16)] = {}
    parameters_ref: LocalReference | None = None


class AllowedListeners(MeshModel):
    """Whose ListenerSets may attach."""

    namespaces: AttachNamespaces | None = None


class ClientValidationMode(StrEnum):
    """What becomes of clients whose certificate is not valid."""

    ALLOW_VALID_ONLY = "AllowValidOnly"
    ALLOW_INSECURE_FALLBACK = "AllowInsecureFallback"


class ClientValidation(MeshModel):
    """Who signs clients' certificates."""

    ca_certificate_refs: Annotated[tuple[ObjectReference, ...], Field(min_length=1, max_length=16)]
    mode: ClientValidationMode | None = None


class FrontendTlsSettings(MeshModel):
    """TLS of clients."""

    validation: ClientValidation | None = None


class PortFrontendTls(MeshModel):
    """The same for one port."""

    port: Port
    tls: FrontendTlsSettings


class FrontendTls(MeshModel):
    """TLS of clients, by port."""

    default: FrontendTlsSettings
    per_port: Annotated[tuple[PortFrontendTls, ...], Field(max_length=64)] = ()


class BackendTls(MeshModel):
    """The certificate that the Gateway shows to backends."""

    client_certificate_ref: SecretReference | None = None


class GatewayTls(MeshModel):
    """TLS of the whole Gateway."""

    frontend: FrontendTls | None = None
    backend: BackendTls | None = None


class DefaultScope(StrEnum):
    """Whether routes that name no parent attach."""

    ALL = "All"
    NONE = "None"


class KubernetesGatewaySpec(MeshModel):
    """Class, listeners and addresses."""

    gateway_class_name: ObjectName
    listeners: Listeners
    addresses: Annotated[tuple[GatewayAddress, ...], Field(max_length=16)] = ()
    infrastructure: Infrastructure | None = None
    allowed_listeners: AllowedListeners | None = None
    default_scope: DefaultScope | None = None
    tls: GatewayTls | None = None


class KubernetesGateway(StatusObject):
    """A Gateway of the Gateway API; Istio's own kind of that name is another."""

    spec: KubernetesGatewaySpec


class ParentGateway(MeshModel):
    """The Gateway that listeners are added to."""

    group: Group = GATEWAY_API
    kind: KindName = "Gateway"
    name: ObjectName
    namespace: NamespaceName | None = None


class ListenerSetSpec(MeshModel):
    """Further listeners of a Gateway."""

    parent_ref: ParentGateway
    listeners: Listeners


class ListenerSet(StatusObject):
    """Listeners that somebody else adds to a Gateway."""

    spec: ListenerSetSpec
