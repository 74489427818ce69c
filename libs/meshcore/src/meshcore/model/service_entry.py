"""ServiceEntry: a service that no registry knows (networking.istio.io)."""

from enum import StrEnum
from typing import Annotated

from meshcore.model.base import MeshModel, PortNumber, StatusObject, WorkloadSelector
from meshcore.model.cel import Cel, MapKeys, has, max_items, max_length, min_items
from meshcore.model.workload import EndpointSpec


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

    number: PortNumber
    name: Annotated[str, max_length(256)]
    protocol: Annotated[str, max_length(256)] = ""
    target_port: PortNumber = 0


_NOT_EVERY_HOST = Cel('self != "*"', "hostname cannot be wildcard", lambda host: host != "*")
_UNIQUE_NUMBERS = Cel(
    "self.all(l1, self.exists_one(l2, l1.number == l2.number))",
    "port number cannot be duplicated",
    lambda ports: len({port.number for port in ports}) == len(ports),
)


class ServiceEntrySpec(MeshModel):
    """Hosts, addresses, ports and endpoints."""

    hosts: Annotated[tuple[Annotated[str, _NOT_EVERY_HOST], ...], min_items(1), max_items(256)]
    addresses: Annotated[tuple[Annotated[str, max_length(64)], ...], max_items(256)] = ()
    ports: Annotated[tuple[ServicePort, ...], max_items(256), MapKeys(("name",)), _UNIQUE_NUMBERS] = ()
    location: Location = Location.MESH_EXTERNAL
    resolution: Resolution = Resolution.NONE
    endpoints: Annotated[tuple[EndpointSpec, ...], max_items(4096)] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    cel = (
        Cel(
            "(has(self.workloadSelector) ? 1 : 0) + (has(self.endpoints) ? 1 : 0) <= 1",
            "only one of WorkloadSelector or Endpoints can be set",
            lambda spec: not (has(spec, "workload_selector") and has(spec, "endpoints")),
        ),
        Cel(
            '!((has(self.addresses) ? self.addresses : []).exists(k, k.contains("/")) && '
            '!((has(self.resolution) ? self.resolution : "NONE") in ["STATIC", "NONE"]))',
            "CIDR addresses are allowed only for NONE/STATIC resolution types",
            lambda spec: (
                spec.resolution in (Resolution.NONE, Resolution.STATIC)
                or not any("/" in address for address in spec.addresses)
            ),
            "addresses",
        ),
        Cel(
            '((has(self.resolution) ? self.resolution : "NONE") == "NONE") ? !has(self.endpoints) : true',
            "NONE mode cannot set endpoints",
            lambda spec: spec.resolution is not Resolution.NONE or not has(spec, "endpoints"),
            "endpoints",
        ),
        Cel(
            '((has(self.resolution) ? self.resolution : "") == "DNS_ROUND_ROBIN") ? '
            "((has(self.endpoints) ? self.endpoints : []).size() <= 1) : true",
            "DNS_ROUND_ROBIN mode cannot have multiple endpoints",
            lambda spec: spec.resolution is not Resolution.DNS_ROUND_ROBIN or len(spec.endpoints) <= 1,
            "endpoints",
        ),
    )


class ServiceEntry(StatusObject):
    """A service by hand."""

    spec: ServiceEntrySpec
