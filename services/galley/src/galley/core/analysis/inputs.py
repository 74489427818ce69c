"""The set of objects that is analysed, with the indexes that analyzers share."""

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from meshcore.labels import selects

from galley.core.analysis.kinds import (
    CONFIG_MAP,
    MESH_NETWORKS,
    NAMESPACE,
    POD,
    WORKLOAD_ENTRY,
    WORKLOAD_GROUP,
    Kind,
)
from galley.core.analysis.reading import camel_keys, mapping, string_map, text
from galley.core.analysis.resource import Resource
from galley.core.analysis.yaml_texts import read_mapping

ROOT_NAMESPACE = "istio-system"
MESH_CONFIG_MAP = "istio"
INJECTOR_CONFIG_MAP = "istio-sidecar-injector"
IGNORED_NAMESPACES = frozenset(("kube-system", "kube-public", "kube-node-lease", "local-path-storage"))
"""What is in them is the cluster's own and not looked at."""


class Inputs:
    """Objects by kind, in the order in which they came; of two of one name (and cluster) the later counts. Namespaces
    of Kubernetes itself are left out."""

    def __init__(
        self,
        resources: Iterable[Resource],
        *,
        mesh_config: Mapping[str, Any] | None = None,
        mesh_networks: Resource | None = None,
    ) -> None:
        self._by_kind: dict[Kind, dict[tuple[str, str, str], Resource]] = {}
        self._by_name: dict[tuple[Kind, str, str], Resource] = {}
        for resource in resources:
            self._add(resource)
        if mesh_networks is not None:
            self._add(mesh_networks)
        self._explicit_mesh_config = mesh_config

    def _add(self, resource: Resource) -> None:
        if (resource.name if resource.kind == NAMESPACE else resource.namespace) in IGNORED_NAMESPACES:
            return
        key = (resource.cluster, resource.namespace, resource.name)
        same = self._by_kind.setdefault(resource.kind, {})
        same.pop(key, None)
        same[key] = resource
        self._by_name[resource.kind, resource.namespace, resource.name] = resource

    @property
    def kinds(self) -> Iterable[Kind]:
        """The kinds of which there are objects."""
        return self._by_kind.keys()

    def of(self, kind: Kind) -> tuple[Resource, ...]:
        """All objects of a kind."""
        return tuple(self._by_kind.get(kind, {}).values())

    def find(self, kind: Kind, namespace: str, name: str) -> Resource | None:
        """One object, of whichever cluster."""
        return self._by_name.get((kind, namespace, name))

    def namespace(self, name: str) -> Resource | None:
        """The namespace of that name."""
        return self.find(NAMESPACE, "", name)

    @cached_property
    def mesh_config(self) -> Mapping[str, Any]:
        """MeshConfig as it was given, else as ConfigMap `istio` has it; its keys in camelCase, without defaults."""
        if self._explicit_mesh_config is not None:
            return mapping(camel_keys(self._explicit_mesh_config))
        return self._from_config_map("mesh")

    @cached_property
    def root_namespace(self) -> str:
        """Whose policies are those of the whole mesh."""
        return text(self.mesh_config, "rootNamespace") or ROOT_NAMESPACE

    def _from_config_map(self, key: str) -> Mapping[str, Any]:
        source = self.find(CONFIG_MAP, ROOT_NAMESPACE, MESH_CONFIG_MAP)
        return read_mapping(text(source.body, "data", key)) if source is not None else {}

    @cached_property
    def mesh_networks(self) -> tuple[Resource, ...]:
        """MeshNetworks as given, else of ConfigMap `istio`."""
        given = self.of(MESH_NETWORKS)
        found = {} if given else self._from_config_map("meshNetworks")
        return given or ((networks_resource(found),) if found else ())

    @cached_property
    def pods_by_namespace(self) -> Mapping[str, tuple[Resource, ...]]:
        """Pods, by namespace."""
        found: dict[str, list[Resource]] = {}
        for pod in self.of(POD):
            found.setdefault(pod.namespace, []).append(pod)
        return {namespace: tuple(pods) for namespace, pods in found.items()}

    def pods_in(self, namespace: str) -> tuple[Resource, ...]:
        """The pods of a namespace."""
        return self.pods_by_namespace.get(namespace, ())

    @cached_property
    def workload_labels(self) -> Mapping[str, tuple[Mapping[str, str], ...]]:
        """Labels of the workloads that are no pods (entries and groups), by namespace."""
        found: dict[str, list[Mapping[str, str]]] = {}
        for entry in self.of(WORKLOAD_ENTRY):
            found.setdefault(entry.namespace, []).append({**entry.labels, **string_map(entry.spec, "labels")})
        for group in self.of(WORKLOAD_GROUP):
            labels = {
                **string_map(group.spec, "template", "labels"),
                **string_map(group.spec, "metadata", "labels"),
            }
            found.setdefault(group.namespace, []).append(labels)
        return {namespace: tuple(labels) for namespace, labels in found.items()}

    def selects_workload(self, selector: Mapping[str, str], namespace: str) -> bool:
        """Whether an entry or a group of that namespace has these labels."""
        return any(selects(selector, labels) for labels in self.workload_labels.get(namespace, ()))

    def injector_values(self, config_map: Resource) -> Mapping[str, Any]:
        """The installation values in the injector's ConfigMap; empty when they cannot be read."""
        try:
            return mapping(json.loads(text(config_map.body, "data", "values")))
        except (ValueError, RecursionError):
            return {}


def networks_resource(networks: Mapping[str, Any], name: str = "meshnetworks") -> Resource:
    """MeshNetworks as an object, so that messages can be about it."""
    body = camel_keys(networks)
    return Resource(MESH_NETWORKS, "", ROOT_NAMESPACE, name, body, {}, {}, None, "", ROOT_NAMESPACE)


def injector_config_map(revision: str) -> str:
    """The name of the injector's ConfigMap of a revision."""
    return INJECTOR_CONFIG_MAP if revision in ("", "default") else f"{INJECTOR_CONFIG_MAP}-{revision}"


def selector_text(selector: Mapping[str, str]) -> str:
    """A selector as messages show it: `key=value` pairs in order."""
    return ",".join(f"{key}={selector[key]}" for key in sorted(selector))
