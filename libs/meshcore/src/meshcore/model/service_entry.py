"""ServiceEntry: a service that no registry knows (networking.istio.io)."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from meshcore.model.base import MeshModel, StatusObject, UInt32, WorkloadSelector
from meshcore.model.workload import WorkloadEntrySpec


class Location(StrEnum):
    """Whether the service is part of the mesh."""

    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


class Resolution(StrEnum):
    """Where the endpoints' addresses come from."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


class ServicePort(MeshModel):
    """A port of the service; `target_port` 0 means the same number."""

    number: UInt32
    name: Annotated[str, Field(max_length=256)]
    protocol: str = ""
    target_port: UInt32 = 0


class ServiceEntrySpec(MeshModel):
    """Hosts, addresses, ports and endpoints."""

    hosts: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]
    addresses: Annotated[tuple[str, ...], Field(max_length=256)] = ()
    ports: Annotated[tuple[ServicePort, ...], Field(max_length=256)] = ()
    location: Location = Location.MESH_EXTERNAL
    resolution: Resolution = Resolution.NONE
    endpoints: Annotated[tuple[WorkloadEntrySpec, ...], Field(max_length=4096)] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()


class ServiceEntry(StatusObject):
    """A service by hand."""

    spec: ServiceEntrySpec
