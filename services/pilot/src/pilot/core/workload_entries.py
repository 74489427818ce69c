"""WorkloadEntry objects that show what has registered. Pure.

The bucket is the truth: an object is made of its entry there and of its WorkloadGroup, is no endpoint by itself, and
goes when the entry has gone (Istio: pilot/pkg/autoregistration, name and annotations as there). Each carries a digest
of what it was made of, so whoever writes needs no memory, and an object that somebody else wrote is left alone.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from meshcore.model import WorkloadEntry, WorkloadGroup
from meshcore.model.kinds import NETWORKING, by_plural

from pilot.core.config import Config
from pilot.core.registration import Entry
from pilot.core.registry.workload import REGISTRATION, workload_of_registered

GROUP_ANNOTATION = "istio.io/autoRegistrationGroup"
CONTROLLER = "istio.io/workloadController"
CONNECTED = "istio.io/connectedAt"
HEALTHY = "Healthy"
KIND = by_plural(NETWORKING, "workloadentries")

Name = tuple[str, str]
"""(namespace, name)."""
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ObjectWrite:
    """One request of the config API; without a body it deletes."""

    method: str
    name: Name
    body: Any = None

    @property
    def path(self) -> str:
        """Where it goes."""
        namespace, name = self.name
        collection = f"/apis/{KIND.api_version}/namespaces/{namespace}/{KIND.plural}"
        return collection if self.method == "POST" else f"{collection}/{name}"


class Documents:
    """The objects that are to be there. They are asked for all the time, so one is made anew only when its entry or its
    group is another."""

    def __init__(self) -> None:
        self._made: dict[Name, tuple[Entry, WorkloadGroup, Document]] = {}

    def of(self, entries: Iterable[Entry], groups: Mapping[Name, WorkloadGroup]) -> Mapping[Name, Document]:
        """One for each entry; an entry without its group has none."""
        made = {}
        for entry in entries:
            group = groups.get((entry.namespace, entry.group))
            if group is None:
                continue
            known = self._made.get(entry.key)
            if known is None or known[0] is not entry or known[1] is not group:
                known = (entry, group, _document(entry, group))
            made[entry.key] = known
        self._made = made
        return {name: document for name, (_, _, document) in made.items()}


def writes(
    wanted: Mapping[Name, Document],
    seen: Mapping[Name, Config[WorkloadEntry]],
    waiting: Collection[Name],
    *,
    may_delete: bool,
) -> tuple[ObjectWrite, ...]:
    """What makes the objects that are `seen` the `wanted` ones, by name; not those in `waiting`, of which it is not yet
    known what became."""
    found = []
    for name, document in wanted.items():
        config = seen.get(name)
        if name in waiting:
            continue
        if config is None:
            found.append(ObjectWrite("POST", name, document))
        elif REGISTRATION in config.object.metadata.annotations and _digest_of(config) != _mark(document):
            found.append(ObjectWrite("PATCH", name, _replacing(document)))
    if may_delete:
        found += [
            ObjectWrite("DELETE", name)
            for name, config in seen.items()
            if name not in wanted and name not in waiting and REGISTRATION in config.object.metadata.annotations
        ]
    return tuple(sorted(found, key=lambda one: one.name))


def untold(
    health: Mapping[Name, bool], seen: Mapping[Name, Config[WorkloadEntry]], told: Mapping[Name, bool]
) -> Mapping[Name, bool]:
    """Of the objects that are there and show a registration, those whose status says something else than `health`."""
    return {
        name: healthy
        for name, healthy in health.items()
        if told.get(name) is not healthy and name in seen and REGISTRATION in seen[name].object.metadata.annotations
    }


def status_of(name: Name, *, healthy: bool, now: str) -> Document:
    """The object's status document; `now` is an RFC 3339 time."""
    condition = {"type": HEALTHY, "status": str(healthy), "lastProbeTime": now, "lastTransitionTime": now}
    return {
        "apiVersion": KIND.api_version,
        "kind": KIND.kind,
        "metadata": {"name": name[1], "namespace": name[0]},
        "status": {"conditions": [condition]},
    }


def _document(entry: Entry, group: WorkloadGroup) -> Document:
    made = workload_of_registered(entry.workload(), group)
    given = group.spec.metadata
    spec = {
        "address": made.address,
        "labels": dict(sorted(made.labels.items())),
        "ports": dict(made.ports),
        "network": made.network,
        "locality": "/".join(made.locality).rstrip("/"),
        "weight": group.spec.template.weight,
        "serviceAccount": made.service_account,
    }
    owner = {
        "apiVersion": KIND.api_version,
        "kind": "WorkloadGroup",
        "name": group.metadata.name,
        "uid": group.metadata.uid,
        "controller": True,
    }
    annotations = {
        **(given.annotations if given else {}),
        GROUP_ANNOTATION: entry.group,
        CONTROLLER: entry.owner,
    }
    document: Document = {
        "apiVersion": KIND.api_version,
        "kind": KIND.kind,
        "metadata": {
            "name": entry.name,
            "namespace": entry.namespace,
            "labels": dict(given.labels) if given else {},
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": {key: value for key, value in spec.items() if value},
    }
    # A new connection to the same Pilot changes nothing else: streams end every half an hour.
    annotations[REGISTRATION] = blake2b(json.dumps(document, sort_keys=True).encode(), digest_size=8).hexdigest()
    annotations[CONNECTED] = _time(entry.connection)
    return document


def _time(nanoseconds: int) -> str:
    """RFC 3339 with nanoseconds, as Istio writes it."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def _mark(document: Document) -> str:
    return str(document["metadata"]["annotations"][REGISTRATION])


def _digest_of(config: Config[WorkloadEntry]) -> str:
    return config.object.metadata.annotations[REGISTRATION]


def _replacing(document: Document) -> list[Document]:
    """A JSON Patch (RFC 6902): of what is there these parts are exchanged whole."""
    metadata = document["metadata"]
    parts = {f"/metadata/{key}": metadata[key] for key in ("labels", "annotations", "ownerReferences")}
    return [
        {"op": "add", "path": path, "value": value} for path, value in ({**parts, "/spec": document["spec"]}).items()
    ]
