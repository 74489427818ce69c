"""The kind ProxyConfig: which objects count for a workload, and how its proxy is started with them. Pure.

Each stands over the one before it, field by field and variable by variable, as in Istio: MeshConfig `defaultConfig`,
the root namespace's object without a selector, the workload's namespace's, the pod's annotation
`proxy.istio.io/config`, and the object of the workload's namespace whose selector matches. Where several objects of a
namespace would do, the oldest counts and the others do nothing. An object with a selector counts in its own namespace
only, in the root namespace too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from injector.core.merge import strategic_merge


@dataclass(frozen=True)
class ProxyConfigs:
    """Every ProxyConfig of the mesh, by namespace and name, as stored."""

    root_namespace: str = "istio-system"
    objects: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, root_namespace: str, documents: Iterable[Mapping[str, Any]]) -> "ProxyConfigs":
        """Those of a list."""
        found = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in documents}
        return cls(root_namespace, found)

    def effective(
        self,
        namespace: str,
        labels: Mapping[str, str],
        *,
        default: Mapping[str, Any],
        annotation: Mapping[str, Any],
    ) -> dict[str, Any]:
        """ProxyConfig (mesh/v1alpha1, camelCase) of a workload; `default` is the mesh's, `annotation` the pod's."""
        merged: dict[str, Any] = dict(default)
        for space in dict.fromkeys((self.root_namespace, namespace)):
            merged = strategic_merge(merged, self._of_namespace(space))
        merged = strategic_merge(merged, annotation)
        return strategic_merge(merged, self._of_workload(namespace, labels))  # type: ignore[no-any-return]

    def _of_namespace(self, namespace: str) -> dict[str, Any]:
        return next((_settings(spec) for spec in self._oldest_first(namespace) if spec.get("selector") is None), {})

    def _of_workload(self, namespace: str, labels: Mapping[str, str]) -> dict[str, Any]:
        for spec in self._oldest_first(namespace):
            wanted = (spec.get("selector") or {}).get("matchLabels") or {}
            if wanted and wanted.items() <= labels.items():
                return _settings(spec)
        return {}

    def _oldest_first(self, namespace: str) -> list[Mapping[str, Any]]:
        found = [(key, item) for key, item in self.objects.items() if key[0] == namespace]
        found.sort(key=lambda pair: (pair[1]["metadata"].get("creationTimestamp") or "", pair[0]))
        return [item.get("spec") or {} for _, item in found]


def _settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the kind says, in the words of mesh/v1alpha1."""
    fields = {"concurrency": "concurrency", "environmentVariables": "proxyMetadata", "image": "image"}
    return {name: spec[field] for field, name in fields.items() if spec.get(field) is not None}
