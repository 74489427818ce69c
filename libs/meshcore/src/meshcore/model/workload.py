"""WorkloadEntry and WorkloadGroup: endpoints that register themselves or are written by hand (networking.istio.io)."""

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar

from meshcore.model.base import Int32, Labels, MeshModel, PortNumber, StatusObject, UInt32
from meshcore.model.cel import Cel, has, max_length, max_properties, min_length, minimum, pattern

_UNIX = "unix://"
_PORT_NAME = re.compile(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?")
_SOCKET_PATH = Cel(
    'self.startsWith("unix://") ? (self.substring(7, 8) == "/" || self.substring(7, 8) == "@") : true',
    "UDS must be an absolute path or abstract socket",
    lambda address: not address.startswith(_UNIX) or address[7:8] in ("/", "@"),
)
_SOCKET_FILE = Cel(
    'self.startsWith("unix://") ? !self.endsWith("/") : true',
    "UDS may not be a dir",
    lambda address: not address.startswith(_UNIX) or not address.endswith("/"),
)
_PORT_NAMES = Cel(
    'self.all(key, size(key) < 63 && key.matches("^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$"))',
    "port name must be valid",
    lambda ports: all(len(name) < 63 and _PORT_NAME.fullmatch(name) for name in ports),
)
_SOCKET_PORTS = Cel(
    '(has(self.address) ? self.address : "").startsWith("unix://") ? !has(self.ports) : true',
    "UDS may not include ports",
    lambda entry: not entry.address.startswith(_UNIX) or not has(entry, "ports"),
    "ports",
)
_REACHABLE = Cel(
    "has(self.address) || has(self.network)",
    "Address is required",
    lambda entry: has(entry, "address") or has(entry, "network"),
    "address",
)
_TemplateLabels = Annotated[Labels, max_properties(256)]


class WorkloadEntrySpec(MeshModel):
    """One endpoint; `ports` maps service port names to numbers, `weight` 0 means 1."""

    address: Annotated[str, max_length(256), _SOCKET_PATH, _SOCKET_FILE] = ""
    ports: Annotated[Mapping[str, PortNumber], max_properties(128), _PORT_NAMES] = {}
    labels: _TemplateLabels = {}
    network: Annotated[str, max_length(2048)] = ""
    locality: Annotated[str, max_length(2048)] = ""
    weight: UInt32 = 0
    service_account: Annotated[str, max_length(253)] = ""
    cel: ClassVar[tuple[Cel, ...]] = (_SOCKET_PORTS,)


class EndpointSpec(WorkloadEntrySpec):
    """An endpoint that stands for itself, not as a template: it has an address, or a network that leads to it."""

    cel = (_REACHABLE, _SOCKET_PORTS)


class WorkloadEntry(StatusObject):
    """One endpoint of the mesh."""

    spec: EndpointSpec


class TemplateMetadata(MeshModel):
    """Metadata that registered entries get."""

    labels: _TemplateLabels = {}
    annotations: Annotated[Mapping[str, str], max_properties(256)] = {}


class HttpHeader(MeshModel):
    """One header of a probe."""

    name: Annotated[str, pattern("^[-_A-Za-z0-9]+$")] = ""
    value: str = ""


_PROBE_SCHEME = Cel(
    'self in ["", "HTTP", "HTTPS"]',
    "scheme must be one of [HTTP, HTTPS]",
    lambda scheme: scheme in ("", "HTTP", "HTTPS"),
)


class HttpGetProbe(MeshModel):
    """Healthy if the status is 200 to 399."""

    path: str = ""
    port: PortNumber
    host: str = ""
    scheme: Annotated[str, _PROBE_SCHEME] = ""
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocketProbe(MeshModel):
    """Healthy if the port accepts."""

    host: str = ""
    port: PortNumber


class ExecProbe(MeshModel):
    """Healthy if the command exits with 0."""

    command: tuple[Annotated[str, min_length(1)], ...]


class GrpcProbe(MeshModel):
    """Healthy by grpc.health.v1."""

    port: PortNumber = 0
    service: str | None = None


NonNegative = Annotated[Int32, minimum(0)]


class ReadinessProbe(MeshModel):
    """How the agent finds out whether its application is ready."""

    initial_delay_seconds: NonNegative = 0
    timeout_seconds: NonNegative = 0
    period_seconds: NonNegative = 0
    success_threshold: NonNegative = 0
    failure_threshold: NonNegative = 0
    http_get: HttpGetProbe | None = None
    tcp_socket: TcpSocketProbe | None = None
    exec: ExecProbe | None = None
    grpc: GrpcProbe | None = None
    one_of = (("http_get", "tcp_socket", "exec", "grpc"),)


class WorkloadGroupSpec(MeshModel):
    """The template of entries that register with this group."""

    metadata: TemplateMetadata | None = None
    template: WorkloadEntrySpec
    probe: ReadinessProbe | None = None


class WorkloadGroup(StatusObject):
    """A group that workloads register with."""

    spec: WorkloadGroupSpec
