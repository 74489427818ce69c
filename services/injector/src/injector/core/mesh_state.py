"""What the injector has learnt from the config feed: one frozen state, a new one per change set. Pure.

A configuration that does not parse changes nothing: the last good one stays in force and `problems` says what is wrong.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml
from meshcore.distribution.keys import Key
from meshcore.errors import MeshError

from injector.core.config import InjectionConfig, parse_injection_config
from injector.core.proxy_config import ProxyConfigs
from injector.core.trial import trial_problems
from injector.core.yaml_documents import read_document

CONFIG_MAP = "istio-sidecar-injector"
MESH_CONFIG_MAP = "istio"
_NETWORK = "topology.istio.io/network"


@dataclass(frozen=True)
class MeshState:
    """`fixed` are the facts of this installation (revision, cluster_id, trust_domain)."""

    root_namespace: str = "istio-system"
    fixed: Mapping[str, str] = field(default_factory=dict)
    config: InjectionConfig = field(default_factory=InjectionConfig)
    namespace_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    texts: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Last seen text of each (ConfigMap, key) that configures injection."""

    @classmethod
    def empty(cls, root_namespace: str, **fixed: str) -> "MeshState":
        """The state before anything is known: the shipped template and Istio's defaults."""
        config = InjectionConfig(proxy_configs=ProxyConfigs(root_namespace), **fixed)  # type: ignore[arg-type]
        return cls(root_namespace=root_namespace, fixed=fixed, config=config)

    @property
    def network(self) -> str:
        """The network of this cluster: the installation's value, else the label of the root namespace."""
        return str(self.config.values["global"]["network"] or "") or self.labels_of(self.root_namespace).get(
            _NETWORK, ""
        )

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """Labels of a namespace; empty when it is not known."""
        return self.namespace_labels.get(namespace) or {}

    def replaced(self, entries: Iterable[tuple[Key, Mapping[str, Any] | None]]) -> "MeshState":
        """The state that the whole list of objects makes; what is not in it is gone."""
        config = replace(self.config, proxy_configs=ProxyConfigs(self.root_namespace))
        return replace(self, namespace_labels={}, texts={}, config=config).applied(entries)

    def applied(self, entries: Iterable[tuple[Key, Mapping[str, Any] | None]]) -> "MeshState":
        """The state after these objects (None: deleted) have changed."""
        labels = dict(self.namespace_labels)
        texts = dict(self.texts)
        proxy_configs = dict(self.config.proxy_configs.objects)
        for key, document in entries:
            match key:
                case Key("", "namespaces", "", name):
                    labels.pop(name, None)
                    if document is not None:
                        labels[name] = (document.get("metadata") or {}).get("labels") or {}
                case Key("networking.istio.io", "proxyconfigs", namespace, name):
                    proxy_configs.pop((namespace, name), None)
                    if document is not None:
                        proxy_configs[namespace, name] = document
                case Key("", "configmaps", self.root_namespace, "istio-sidecar-injector" | "istio" as name):
                    texts = {place: text for place, text in texts.items() if place[0] != name}
                    data = (document or {}).get("data") or {}
                    texts |= {(name, field): str(text) for field, text in data.items()}
        config = replace(self.config, proxy_configs=ProxyConfigs(self.root_namespace, proxy_configs))
        state = replace(self, namespace_labels=labels, texts=texts, config=config)
        return state if texts == self.texts and not self.problems else state._configured()

    def _configured(self) -> "MeshState":
        try:
            mesh = read_document(self.texts.get((MESH_CONFIG_MAP, "mesh"), "")) or {}
            if not isinstance(mesh, dict):
                return replace(self, problems=("ConfigMap istio: mesh is not a map",))
            config = parse_injection_config(
                self.texts.get((CONFIG_MAP, "config"), ""),
                self.texts.get((CONFIG_MAP, "values"), ""),
                mesh=mesh,
                proxy_configs=self.config.proxy_configs,
                **self.fixed,
            )
        except yaml.YAMLError as error:
            return replace(self, problems=(f"ConfigMap istio: mesh is not YAML: {str(error).splitlines()[0]}",))
        except MeshError as error:
            return replace(self, problems=tuple(str(violation) for violation in error.violations) or (error.detail,))
        problems = trial_problems(config)
        return replace(self, problems=problems) if problems else replace(self, config=config, problems=())
