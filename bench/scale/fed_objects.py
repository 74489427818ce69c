"""The services that a mesh is fed, in realistic proportions, and the changes that are measured. Drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from meshctl.core.mesh_objects import mesh_config_map, namespace

from bench.scale.client.node import namespace_of

Document = dict[str, Any]
NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
ACCOUNT = "default"
"""Every namespace has one of this name."""
PROBE = "probe.bench-0.svc.cluster.local"
"""The service whose endpoint and route are changed."""
PORTS = (*[(80, "HTTP")] * 4, *[(8080, "HTTP")] * 3, *[(9090, "GRPC")] * 2, (9080, "HTTP"))
"""Of ten services. All on one port have one route configuration, which is sent whole when a route of it changes."""


def documents(services: int, classes: int, *, captured: bool = True, seed: int = 1) -> Iterator[Document]:
    """The namespaces of the classes, and services over them; one more service, which is changed. `captured`: as on
    Kubernetes there is no port of a mesh HTTP proxy, whose routes are those of all services."""
    if captured:
        yield mesh_config_map("cluster.local", None)
    for kind in range(classes):
        yield namespace(namespace_of(kind))
    yield from more_services(0, services, classes, seed)
    yield made("v1", "Service", "bench-0", "probe", {"spec": {"ports": [{"name": "http", "port": 80}]}})
    yield _slice(1)


def more_services(first: int, end: int, classes: int, seed: int = 1) -> Iterator[Document]:
    """Services `first` to `end` - 1: each a ServiceEntry with three endpoints, four in ten with a VirtualService, three
    in ten with a DestinationRule, two in ten with an AuthorizationPolicy."""
    for number in range(first, end):
        yield from _service(number, namespace_of(number % classes), random.Random(f"{seed}/{number}"))


def _service(number: int, space: str, draw: random.Random) -> Iterator[Document]:
    name, host = f"svc-{number}", f"svc-{number}.bench.example"
    yield entry(number, space, 0)
    if draw.random() < 0.4:
        yield made(NETWORKING, "VirtualService", space, name, {"spec": _routes(host, 1)})
    if draw.random() < 0.3:
        rule = {"host": host, "trafficPolicy": {"outlierDetection": {"consecutive5xxErrors": 5}}}
        yield made(NETWORKING, "DestinationRule", space, name, {"spec": rule})
    if draw.random() < 0.2:
        rules = [{"to": [{"operation": {"methods": ["GET"], "paths": ["/api/*"]}}]}]
        policy = {"selector": {"matchLabels": {"app": name}}, "rules": rules}
        yield made(SECURITY, "AuthorizationPolicy", space, name, {"spec": policy})


def entry(number: int, space: str, variant: int) -> Document:
    """A ServiceEntry; each variant has other endpoints."""
    ends = (variant * 3 + place for place in (1, 2, 3))
    port, protocol = PORTS[number % len(PORTS)]
    spec = {
        "hosts": [f"svc-{number}.bench.example"],
        "ports": [{"number": port, "name": protocol.lower(), "protocol": protocol}],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "endpoints": [
            {"address": f"10.{number >> 8 & 127}.{number & 255}.{end % 250 + 1}", "labels": {"version": "v1"}}
            for end in ends
        ],
    }
    return made(NETWORKING, "ServiceEntry", space, f"svc-{number}", {"spec": spec})


def made(version: str, kind: str, space: str, name: str, body: Document) -> Document:
    """An object."""
    metadata = {"name": name} | ({"namespace": space} if space else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def _routes(host: str, seconds: int) -> Document:
    return {"hosts": [host], "http": [{"timeout": f"{seconds}s", "route": [{"destination": {"host": host}}]}]}


def _slice(end: int) -> Document:
    one = made("discovery.k8s.io/v1", "EndpointSlice", "bench-0", "probe", {})
    one["metadata"]["labels"] = {"kubernetes.io/service-name": "probe"}
    endpoints = [{"addresses": [f"10.150.{end // 250 % 250}.{end % 250 + 1}"], "conditions": {"ready": True}}]
    return one | {"addressType": "IPv4", "ports": [{"name": "http", "port": 9080}], "endpoints": endpoints}


def endpoint_changed(turn: int) -> Document:
    """One endpoint of one service."""
    return _slice(turn + 2)


def route_changed(turn: int) -> Document:
    """One VirtualService."""
    return made(NETWORKING, "VirtualService", "bench-0", "edited", {"spec": _routes(PROBE, turn + 2)})


def service_added(turn: int) -> Document:
    """One service more."""
    return made("v1", "Service", "bench-0", f"more-{turn}", {"spec": {"ports": [{"name": "http", "port": 9080}]}})


def policy_changed(turn: int) -> Document:
    """One policy for the whole mesh."""
    rules = [{"to": [{"operation": {"notPaths": [f"/never-{turn}"]}}]}]
    return made(SECURITY, "AuthorizationPolicy", "istio-system", "all", {"spec": {"rules": rules}})


CHANGES: dict[str, Callable[[int], Document]] = {
    "endpoint": endpoint_changed,
    "virtual_service": route_changed,
    "service_added": service_added,
    "mesh_policy": policy_changed,
}
