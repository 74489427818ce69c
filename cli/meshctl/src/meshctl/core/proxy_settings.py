"""ProxyConfig of the workloads that a stack runs: what the mesh says, as for a pod that is injected. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from injector.core.proxy_config import ProxyConfigs
from injector.core.yaml_documents import read_document

from meshctl.core.failure import StackFailure
from meshctl.core.mesh_objects import ROOT_NAMESPACE
from meshctl.core.workloads import Workload

PROXY_CONFIG = "PROXY_CONFIG"
_OF_THE_STACK = ("statusPort",)
"""Decided by the topology: the supervisor asks there whether a proxy is ready."""


@dataclass(frozen=True)
class ProxySettings:
    """`default` is MeshConfig's `defaultConfig`, `configs` are all objects of kind ProxyConfig."""

    configs: ProxyConfigs = field(default_factory=lambda: ProxyConfigs(ROOT_NAMESPACE))
    default: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_mesh(cls, config_map: Mapping[str, Any], documents: Iterable[Mapping[str, Any]]) -> "ProxySettings":
        """From ConfigMap `istio`, which Galley has checked, and the list of ProxyConfigs."""
        mesh = read_document((config_map.get("data") or {}).get("mesh") or "") or {}
        return cls(ProxyConfigs.of(ROOT_NAMESPACE, documents), mesh.get("defaultConfig") or {})

    def effective(self, workload: Workload) -> dict[str, Any]:
        """What its agent is started with; PROXY_CONFIG of its `proxy_env` stands in for the annotation of a pod.

        StackFailure when that is not a map.
        """
        try:
            own = read_document(workload.proxy_env.get(PROXY_CONFIG, "")) or {}
        except yaml.YAMLError:
            own = None
        if not isinstance(own, dict):
            raise StackFailure(workload.name, f"proxy_env.{PROXY_CONFIG} is not a ProxyConfig in YAML")
        merged = self.configs.effective(workload.namespace, workload.labels, default=self.default, annotation=own)
        return {name: value for name, value in merged.items() if name not in _OF_THE_STACK}
