"""Whether a pod gets a sidecar. Pure.

The order is Istio's, first rule that speaks wins:

1. a pod on the host's network never (its traffic cannot be captured without capturing the node's);
2. a namespace that must stay out never (Kubernetes' own, and one labelled `istio-injection: disabled`);
3. the pod's label `sidecar.istio.io/inject`, else its annotation of that name, when it is exactly "true" or "false";
4. the first `neverInjectSelector` that matches: no; then the first `alwaysInjectSelector`: yes;
5. the policy of the configuration: "enabled" yes, "disabled" no.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

INJECT = "sidecar.istio.io/inject"
NAMESPACE_LABEL = "istio-injection"
IGNORED_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})


class InjectionPolicy(StrEnum):
    """What happens to a pod that says nothing itself."""

    ENABLED = "enabled"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Decision:
    """`inject`, and the rule that decided in words for logs and `allowed` answers."""

    inject: bool
    reason: str


@dataclass(frozen=True, slots=True)
class SelectorRequirement:
    """One `matchExpressions` entry of a Kubernetes label selector."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Kubernetes' meaning: NotIn and DoesNotExist also match where the key is absent."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return self.key not in labels or labels[self.key] not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class PodSelector:
    """A Kubernetes LabelSelector object. Empty selects nothing here: a forgotten body must not inject the cluster."""

    requirements: tuple[SelectorRequirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether there is a requirement and all hold."""
        return bool(self.requirements) and all(requirement.matches(labels) for requirement in self.requirements)


def injection_required(
    pod: Mapping[str, Any],
    namespace: str,
    *,
    policy: InjectionPolicy = InjectionPolicy.ENABLED,
    never: Iterable[PodSelector] = (),
    always: Iterable[PodSelector] = (),
    namespace_labels: Mapping[str, str] | None = None,
) -> Decision:
    """Decide for one pod (or pod template); `namespace_labels` is None when the namespace is not known."""
    spec = pod.get("spec") or {}
    metadata = pod.get("metadata") or {}
    labels: Mapping[str, str] = metadata.get("labels") or {}
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    if spec.get("hostNetwork") is True:
        return Decision(False, "the pod uses the host's network")
    if namespace in IGNORED_NAMESPACES:
        return Decision(False, f"namespace {namespace} is never injected")
    if (namespace_labels or {}).get(NAMESPACE_LABEL) == "disabled":
        return Decision(False, f"namespace {namespace} has {NAMESPACE_LABEL}=disabled")
    wish = labels[INJECT] if INJECT in labels else annotations.get(INJECT)
    if wish in ("true", "false"):
        return Decision(wish == "true", f"the pod has {INJECT}={wish}")
    if any(selector.matches(labels) for selector in never):
        return Decision(False, "a neverInjectSelector matches")
    if any(selector.matches(labels) for selector in always):
        return Decision(True, "an alwaysInjectSelector matches")
    return Decision(policy is InjectionPolicy.ENABLED, f"the injection policy is {policy.value}")
