"""Names, and references from one object to another."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from meshcore.model.base import Int32, MeshModel

GATEWAY_API = "gateway.networking.k8s.io"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"

Group = Annotated[str, Field(max_length=253, pattern=rf"^$|^{_SUBDOMAIN}$")]
KindName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")]
ObjectName = Annotated[str, Field(min_length=1, max_length=253)]
NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
SectionName = Annotated[str, Field(min_length=1, max_length=253, pattern=rf"^{_SUBDOMAIN}$")]
PreciseHostname = Annotated[str, Field(min_length=1, max_length=253, pattern=rf"^{_SUBDOMAIN}$")]
Hostname = Annotated[str, Field(min_length=1, max_length=253, pattern=rf"^(\*\.)?{_SUBDOMAIN}$")]
Port = Annotated[Int32, Field(ge=1, le=65535)]
Span = Annotated[str, Field(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")]
"""A length of time as this API writes it: `1h30m`, `500ms`."""
ControllerName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=rf"^{_SUBDOMAIN}/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$")
]
Options = Annotated[Mapping[str, Annotated[str, Field(max_length=4096)]], Field(max_length=16)]


class LocalReference(MeshModel):
    """An object of the same namespace."""

    group: Group
    kind: KindName
    name: ObjectName


class ObjectReference(LocalReference):
    """An object anywhere; another namespace needs a ReferenceGrant there."""

    namespace: NamespaceName | None = None


class SecretReference(MeshModel):
    """A certificate, in a Secret unless it says otherwise."""

    group: Group = ""
    kind: KindName = "Secret"
    name: ObjectName
    namespace: NamespaceName | None = None


class ParentReference(MeshModel):
    """What a route attaches to: a Gateway, a listener of it, or a Service."""

    group: Group = GATEWAY_API
    kind: KindName = "Gateway"
    name: ObjectName
    namespace: NamespaceName | None = None
    section_name: SectionName | None = None
    port: Port | None = None


class BackendObject(MeshModel):
    """Where requests go; a Service needs a port."""

    group: Group = ""
    kind: KindName = "Service"
    name: ObjectName
    namespace: NamespaceName | None = None
    port: Port | None = None


class BackendReference(BackendObject):
    """A backend and its share."""

    weight: Annotated[Int32, Field(ge=0, le=1_000_000)] = 1


ParentReferences = Annotated[tuple[ParentReference, ...], Field(max_length=32)]
"""Parents of a route."""
