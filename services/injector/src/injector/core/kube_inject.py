"""Injection of YAML files, as `meshctl kube-inject` does it. Pure.

Every document with a pod template gets the sidecar; every other document, its comments included, comes out byte for
byte as it came in. A List's items are treated one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from meshcore.errors import ErrorCode, MeshError, Violation

from injector.core.config import InjectionConfig
from injector.core.context import PodFacts
from injector.core.decision import injection_required
from injector.core.inject import inject_pod
from injector.core.workload import Workload, workload_of_pod
from injector.core.yaml_documents import YamlDocument, read_document, split_documents, write_document

_TEMPLATE_PATHS: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "DeploymentConfig": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
_GROUPS = frozenset({"v1", "apps", "batch", "extensions", "apps.openshift.io"})


@dataclass(frozen=True, slots=True)
class Skipped:
    """A workload that was left alone, and why."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class KubeInjected:
    """The whole output text, how many workloads got a sidecar, and those that did not."""

    text: str
    injected: int
    skipped: tuple[Skipped, ...]


def kube_inject(
    text: str, *, config: InjectionConfig | None = None, namespace: str = "default", source: str = ""
) -> KubeInjected:
    """Inject every workload of a YAML stream.

    `namespace` is that of documents that name none. INVALID lists every document that cannot be injected, with file and
    line when `source` is given; nothing is half done.
    """
    run = _Run(config or InjectionConfig(), namespace)
    output, violations, line = [], list[Violation](), 1
    for document in split_documents(text):
        line += document.separator.count("\n")
        try:
            output.append(document.separator + run.document(document))
        except MeshError as error:
            found = error.violations or (Violation("", error.detail),)
            violations += [Violation(v.field, v.message, v.expected, source or None, line) for v in found]
        except yaml.YAMLError as error:
            violations.append(Violation("", f"is not YAML: {_first_line(error)}", "", source or None, line))
        line += document.text.count("\n")
    if violations:
        raise MeshError(ErrorCode.INVALID, "cannot inject", violations)
    return KubeInjected("".join(output), run.injected, tuple(run.skipped))


class _Run:
    """One call: the configuration, and what was done so far."""

    def __init__(self, config: InjectionConfig, namespace: str) -> None:
        self._config = config
        self._namespace = namespace
        self.injected = 0
        self.skipped: list[Skipped] = []

    def document(self, document: YamlDocument) -> str:
        value = read_document(document.text)
        injected = self._value(value)
        return document.text if injected is None else write_document(injected)

    def _value(self, value: Any) -> dict[str, Any] | None:
        """The injected document, None when it stays as it is."""
        if not isinstance(value, Mapping):
            return None
        kind = value.get("kind")
        if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
            items = [(item, self._value(item)) for item in value["items"]]
            if all(new is None for _, new in items):
                return None
            return {**value, "items": [item if new is None else new for item, new in items]}
        path = _TEMPLATE_PATHS.get(str(kind))
        if path is None or str(value.get("apiVersion", "")).split("/")[0] not in _GROUPS:
            return None
        return self._workload(value, path)

    def _workload(self, value: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
        pod = _at(value, path)
        metadata = value.get("metadata") or {}
        name = str(metadata.get("name") or metadata.get("generateName") or "")
        if not isinstance(pod, Mapping) or not isinstance(pod.get("spec"), Mapping):
            raise MeshError(
                ErrorCode.INVALID,
                "no pod template",
                [Violation(".".join((*path, "spec")), f"{value['kind']} {name} has no pod spec")],
            )
        namespace = str(metadata.get("namespace") or self._namespace)
        decision = injection_required(
            pod, namespace, policy=self._config.policy, never=self._config.never, always=self._config.always
        )
        if not decision.inject:
            self.skipped.append(Skipped(str(value["kind"]), name, decision.reason))
            return None
        workload = Workload(str(value["apiVersion"]), str(value["kind"]), name) if path else workload_of_pod(pod)
        injected = inject_pod(PodFacts(pod, namespace, workload, self._config))
        self.injected += 1
        return _with(value, path, injected)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _with(value: Mapping[str, Any], path: tuple[str, ...], new: dict[str, Any]) -> dict[str, Any]:
    return {**value, path[0]: _with(value[path[0]], path[1:], new)} if path else new


def _first_line(error: yaml.YAMLError) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
