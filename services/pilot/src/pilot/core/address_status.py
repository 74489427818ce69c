"""Addresses that Pilot tells in the status of objects: those that ServiceEntries were given, and where the gateway that
serves Ingresses is reached (Istio: ServiceEntryStatus.addresses; pilot/pkg/config/kube/ingress/status.go). Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any
from zlib import crc32

from meshcore.model import Ingress, Service
from meshcore.model.kinds import KUBERNETES_NETWORKING, NETWORKING, by_plural

from pilot.core.config import Config
from pilot.core.ingress import is_ours
from pilot.core.networks import balancer_ingress
from pilot.core.snapshot import MeshSnapshot

Place = tuple[str, str, str]
"""Kind, namespace and name of an object."""
Part = Mapping[str, Any]
"""What is merged into a status (RFC 7396)."""

_KINDS = {
    "ServiceEntry": by_plural(NETWORKING, "serviceentries"),
    "Ingress": by_plural(KUBERNETES_NETWORKING, "ingresses"),
}
_GROUPS = 64
_NONE: Mapping[str, Part] = {"ServiceEntry": {"addresses": None}, "Ingress": {"loadBalancer": {"ingress": None}}}
"""What takes it away again."""


def address_parts(snapshot: MeshSnapshot) -> Mapping[Place, Part]:
    """What the status of each object is to say of addresses; nothing of objects that have none."""
    return dict([*_given(snapshot), *_of_ingresses(snapshot)])


def changed_parts(wanted: Mapping[Place, Part], told: Mapping[Place, Part]) -> Iterator[tuple[Place, Part]]:
    """What to tell so that everything that is wanted is told and nothing else, by place."""
    for place in sorted({*wanted, *told}):
        part = wanted.get(place, _NONE[place[0]])
        if part != told.get(place, _NONE[place[0]]):
            yield place, part


def object_ids(snapshot: MeshSnapshot, places: Iterable[Place]) -> Mapping[Place, str]:
    """The uid of the object in each place: one that was made anew has none of the status of the one before it."""
    found = {}
    for kind, namespace, name in places:
        config = snapshot.configs.get(kind, {}).get((namespace, name))
        found[kind, namespace, name] = "" if config is None else config.object.metadata.uid
    return found


def notes_of(told: Mapping[Place, Part], objects: Mapping[Place, str]) -> dict[str, str]:
    """What was told, as few bytes as a lease may carry: a digest for each group of places."""
    groups: dict[str, list[str]] = {}
    for place, part in told.items():
        said = json.dumps([place, objects.get(place, ""), part], sort_keys=True)
        groups.setdefault(_group(place), []).append(said)
    return {
        group: blake2b("\n".join(sorted(listed)).encode(), digest_size=8).hexdigest()
        for group, listed in groups.items()
    }


def told_by(notes: Mapping[str, str], wanted: Mapping[Place, Part], objects: Mapping[Place, str]) -> dict[Place, Part]:
    """What of that has been told already, by the notes of whoever told it."""
    known = notes_of(wanted, objects)
    return {place: part for place, part in wanted.items() if notes.get(group := _group(place)) == known[group]}


def _group(place: Place) -> str:
    return str(crc32("/".join(place).encode()) % _GROUPS)


def status_path(place: Place) -> str:
    """Where the status of an object is written."""
    kind, namespace, name = place
    info = _KINDS[kind]
    return f"/apis/{info.api_version}/namespaces/{namespace}/{info.plural}/{name}/status"


def _given(snapshot: MeshSnapshot) -> Iterator[tuple[Place, Part]]:
    found: dict[Place, list[dict[str, str]]] = {}
    for service in snapshot.registry.services.values():
        listed = [{"value": address, "host": service.host} for address in service.given_addresses]
        if listed:
            found.setdefault(("ServiceEntry", service.namespace, service.name), []).extend(listed)
    for place, addresses in found.items():
        yield place, {"addresses": sorted(addresses, key=lambda one: (one["host"], ":" in one["value"], one["value"]))}


def _of_ingresses(snapshot: MeshSnapshot) -> Iterator[tuple[Place, Part]]:
    mesh = snapshot.mesh_config
    ingresses: Mapping[tuple[str, str], Config[Ingress]] = snapshot.configs.get("Ingress", {})
    gateway: Config[Service] | None = snapshot.configs.get("Service", {}).get(
        (mesh.root_namespace, mesh.ingress_service)
    )
    reached = _reached(gateway.object) if ingresses and gateway is not None else []
    classes = snapshot.configs.get("IngressClass", {})
    for (namespace, name), config in ingresses.items() if reached else ():
        if is_ours(config.object, classes, mesh):
            yield ("Ingress", namespace, name), {"loadBalancer": {"ingress": reached}}


def _reached(service: Service) -> list[dict[str, str]]:
    """At its load balancer's addresses and names; without any at its external addresses."""
    found = [
        {key: str(item[key])} for item in balancer_ingress(service) for key in ("ip", "hostname") if item.get(key)
    ] or [{"ip": address} for address in service.spec.external_ips]
    return sorted(found, key=lambda one: sorted(one.items()))
