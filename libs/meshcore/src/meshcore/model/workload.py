"""WorkloadEntry and WorkloadGroup: endpoints that register themselves or are written by hand (networking.istio.io)."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from meshcore.model.base import Int32, Labels, MeshModel, StatusObject, UInt32


class WorkloadEntrySpec(MeshModel):
    """One endpoint; `ports` maps service port names to numbers, `weight` 0 means 1."""

    address: str = ""
    ports: Mapping[str, UInt32] = {}
    labels: Labels = {}
    network: str = ""
    locality: str = ""
    weight: UInt32 = 0
    service_account: str = ""


class WorkloadEntry(StatusObject):
    """One endpoint of the mesh."""

    spec: WorkloadEntrySpec = WorkloadEntrySpec()


class TemplateMetadata(MeshModel):
    """Metadata that registered entries get."""

    labels: Labels = {}
    annotations: Mapping[str, str] = {}


class HttpHeader(MeshModel):
    """One header of a probe."""

    name: str = ""
    value: str = ""


class HttpGetProbe(MeshModel):
    """Healthy if the status is 200 to 399."""

    path: str = ""
    port: UInt32
    host: str = ""
    scheme: str = ""
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocketProbe(MeshModel):
    """Healthy if the port accepts."""

    host: str = ""
    port: UInt32


class ExecProbe(MeshModel):
    """Healthy if the command exits with 0."""

    command: tuple[Annotated[str, Field(min_length=1)], ...]


class GrpcProbe(MeshModel):
    """Healthy by grpc.health.v1."""

    port: UInt32 = 0
    service: str | None = None


NonNegative = Annotated[Int32, Field(ge=0)]


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
