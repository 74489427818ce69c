"""The mesh that config files alone describe, and the node of a proxy in it: what `meshctl compile` compiles. Pure."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from galley.core.admission import normalize
from galley.core.kind_rules import Naming
from galley.core.kinds import rules_of
from meshcore.errors import ErrorCode, MeshError, Violation
from meshcore.model import Service, WorkloadEntry, WorkloadGroup
from meshcore.model.base import MeshObject
from meshcore.model.kinds import KINDS, by_kind
from meshcore.model.load import Document, parse_object
from meshcore.xds.resource import ResourceSet
from pilot.core.compiler import CompileCache, compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.registry.workload import group_labels
from pilot.core.simulation import Explanation, Question, explain
from pilot.core.snapshot import MeshSnapshot
from pilot.core.what_if import consequences

from meshctl.core.documents import named_object

ADDRESS_OF_NOBODY = "10.0.0.1"
"""The address of a proxy that no file gives one; it appears in the node only."""
OURS = {(info.api_version_of(version), info.kind) for info in KINDS for version in info.versions}


def read_mesh(documents: Iterable[Document], namespace: str) -> list[MeshObject]:
    """The objects of the files as consumers get them, normalised; a later one of the same name takes the place of an
    earlier one. Kinds that are not the mesh's are passed over. INVALID has every violation of every file."""
    objects: dict[tuple[str, str, str, str], MeshObject] = {}
    violations: list[Violation] = []
    for document in documents:
        body = document.body
        if not isinstance(body, Mapping) or (str(body.get("apiVersion")), str(body.get("kind"))) not in OURS:
            continue
        try:
            made = _normalised(named_object(document), namespace)
        except MeshError as error:
            found = error.violations or (Violation("", error.detail),)
            violations += [document.locate(violation) for violation in found]
        else:
            objects[made.api_version, made.kind, made.metadata.namespace, made.metadata.name] = made
    if violations:
        raise MeshError(ErrorCode.INVALID, "the config is not valid", violations)
    return list(objects.values())


def places_of(documents: Iterable[Document], namespace: str) -> dict[tuple[str, str, str], str]:
    """Where each object is written, `file:line`, by kind, namespace and name; the last one of a name counts."""
    found = {}
    for document in documents:
        body = document.body
        if not isinstance(body, Mapping) or (str(body.get("apiVersion")), str(body.get("kind"))) not in OURS:
            continue
        metadata = body.get("metadata") or {}
        space = str(metadata.get("namespace") or namespace)
        found[str(body["kind"]), space, str(metadata.get("name"))] = f"{document.file}:{document.line}"
    return found


def _normalised(body: Mapping[str, Any], namespace: str) -> MeshObject:
    kind = by_kind(body["apiVersion"], body["kind"])
    metadata = dict(body.get("metadata") or {})
    if kind.namespaced:
        metadata["namespace"] = metadata.get("namespace") or namespace
    filled = rules_of(kind).fill_defaults({**body, "metadata": metadata})
    return parse_object(normalize(parse_object(filled), kind, Naming()), strict=False)


def supposed_effect(
    objects: Iterable[MeshObject], changed: Iterable[MeshObject], node: Mapping[str, Any], *, removed: bool = False
) -> dict[str, Any]:
    """What becomes of the proxy with that node when objects are written over those that are there (or removed)."""
    before = MeshSnapshot.of(objects)
    after = before.supposing((item, removed) for item in changed)
    cache = CompileCache()
    found = consequences(before, after, [parse_node(node)], partial(compile_resources, cache=cache))
    return {"revision": 0, "proxies": 1, "consequences": [one.document() for one in found], "instances_missing": []}


def explain_request(objects: Iterable[MeshObject], node: Mapping[str, Any], question: Question) -> Explanation:
    """What the proxy with that node would do with a request, in the mesh of these objects."""
    snapshot = MeshSnapshot.of(objects)
    proxy = parse_node(node)
    proxy_class = classify(proxy, snapshot.selection)
    return explain(snapshot, proxy, proxy_class, compile_resources(snapshot, proxy_class), question)


def compile_proxy(objects: Iterable[MeshObject], node: Mapping[str, Any]) -> ResourceSet:
    """The resources of the proxy with that node, in the mesh of these objects."""
    snapshot = MeshSnapshot.of(objects)
    return compile_resources(snapshot, classify(parse_node(node), snapshot.selection))


def node_of(objects: Iterable[MeshObject], namespace: str, name: str, domain: str = "cluster.local") -> dict[str, Any]:
    """Envoy's node of the proxy `namespace/name`: a WorkloadEntry or WorkloadGroup of that name, else a pod that a
    Service of that name selects. NOT_FOUND when no file tells who that is."""
    named = [item for item in objects if (item.metadata.namespace, item.metadata.name) == (namespace, name)]
    for item in named:
        if isinstance(item, WorkloadEntry):
            labels = {**item.metadata.labels, **item.spec.labels}
            return _node(namespace, name, domain, item.spec.address, labels, item.spec.service_account)
    for item in named:
        if isinstance(item, WorkloadGroup):
            account = item.spec.template.service_account
            return _node(namespace, name, domain, ADDRESS_OF_NOBODY, group_labels(item), account)
    for item in named:
        if isinstance(item, Service) and item.spec.selector:
            return _node(namespace, name, domain, ADDRESS_OF_NOBODY, item.spec.selector, "")
    detail = f"no WorkloadEntry, WorkloadGroup or Service is called {namespace}/{name}; say --node NODE.json"
    raise MeshError(ErrorCode.NOT_FOUND, detail)


def _node(
    namespace: str, name: str, domain: str, address: str, labels: Mapping[str, str], service_account: str
) -> dict[str, Any]:
    return {
        "id": f"sidecar~{address}~{name}.{namespace}~{namespace}.svc.{domain}",
        "cluster": f"{labels.get('app', name)}.{namespace}",
        "metadata": {
            "NAMESPACE": namespace,
            "SERVICE_ACCOUNT": service_account or "default",
            "LABELS": dict(labels),
            "INSTANCE_IPS": address,
            "CLUSTER_ID": "Kubernetes",
            "WORKLOAD_NAME": name,
        },
    }
