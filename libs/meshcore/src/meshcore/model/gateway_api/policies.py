"""ReferenceGrant, BackendTLSPolicy, and what is on trial: XBackend, XBackendTrafficPolicy, XMesh."""

from typing import Annotated, Literal

from pydantic import Field

from meshcore.model.base import Int32, MeshModel, StatusObject
from meshcore.model.gateway_api.references import (
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
    PreciseHostname,
    SecretReference,
    SectionName,
    Span,
)
from meshcore.model.gateway_api.routes import SessionPersistence


class GrantFrom(MeshModel):
    """Who may refer."""

    group: Group
    kind: KindName
    namespace: NamespaceName


class GrantTo(MeshModel):
    """To what."""

    group: Group
    kind: KindName
    name: ObjectName | None = None


class ReferenceGrantSpec(MeshModel):
    """Who may refer to what of this namespace."""

    from_: Annotated[tuple[GrantFrom, ...], Field(alias="from", min_length=1, max_length=16)]
    to: Annotated[tuple[GrantTo, ...], Field(min_length=1, max_length=16)]


class ReferenceGrant(StatusObject):
    """References from other namespaces that are allowed."""

    spec: ReferenceGrantSpec


class TlsTarget(LocalReference):
    """A Service, or one port of it."""

    section_name: SectionName | None = None


class SubjectAltName(MeshModel):
    """A name that the backend's certificate must have."""

    type: Literal["Hostname", "URI"]
    hostname: Hostname | None = None
    uri: Annotated[str, Field(min_length=1, max_length=253)] | None = None


class BackendTlsValidation(MeshModel):
    """How the backend's certificate is checked."""

    ca_certificate_refs: Annotated[tuple[LocalReference, ...], Field(max_length=8)] = ()
    well_known_ca_certificates: Annotated[
        str | None, Field(alias="wellKnownCACertificates", min_length=1, max_length=253)
    ] = None
    hostname: PreciseHostname
    subject_alt_names: Annotated[tuple[SubjectAltName, ...], Field(max_length=5)] = ()


class BackendTlsPolicySpec(MeshModel):
    """Backends and how TLS to them is checked."""

    target_refs: Annotated[tuple[TlsTarget, ...], Field(min_length=1, max_length=16)]
    validation: BackendTlsValidation
    options: Options = {}


class BackendTlsPolicy(StatusObject):
    """TLS to backends."""

    spec: BackendTlsPolicySpec


class RetryBudget(MeshModel):
    """Retries in relation to requests."""

    percent: Annotated[Int32, Field(ge=0, le=100)] = 20
    interval: Span = "10s"


class RequestRate(MeshModel):
    """So many in so much time."""

    count: Annotated[Int32, Field(ge=1, le=1_000_000)] | None = None
    interval: Span | None = None


class RetryConstraint(MeshModel):
    """A limit of retries, and what is always allowed."""

    budget: RetryBudget | None = None
    min_retry_rate: RequestRate | None = None


class BackendTrafficPolicySpec(MeshModel):
    """Backends and how they are spoken to."""

    target_refs: Annotated[tuple[LocalReference, ...], Field(min_length=1, max_length=16)]
    retry_constraint: RetryConstraint | None = None
    session_persistence: SessionPersistence | None = None


class BackendTrafficPolicy(StatusObject):
    """Retries and sessions of backends (on trial)."""

    spec: BackendTrafficPolicySpec


class XMeshSpec(MeshModel):
    """Who implements the mesh."""

    controller_name: ControllerName
    description: Annotated[str, Field(max_length=64)] = ""
    parameters_ref: ObjectReference | None = None


class XMesh(StatusObject):
    """A mesh as an object (on trial)."""

    spec: XMeshSpec


class ExternalHost(MeshModel):
    """A host outside the cluster."""

    hostname: PreciseHostname


class BackendPort(MeshModel):
    """A port and its name."""

    name: Annotated[str, Field(max_length=63)] = ""
    port: Port


class XBackendTls(MeshModel):
    """TLS to the backend."""

    mode: Literal["None", "ServerOnly", "ClientAndServer"]
    client_certificate_ref: SecretReference | None = None
    validation: BackendTlsValidation | None = None


class XBackendSpec(MeshModel):
    """A host, a port and a protocol."""

    type: Literal["ExternalHostname"]
    external_hostname: ExternalHost | None = None
    port: BackendPort
    protocol: Literal["TCP", "HTTP", "HTTP2", "HTTP11", "H2C", "MCP"] | None = None
    tls: XBackendTls | None = None


class XBackend(StatusObject):
    """A backend that is no Service (on trial)."""

    spec: XBackendSpec
