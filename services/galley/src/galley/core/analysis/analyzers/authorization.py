"""Authorization policies that protect nothing, or that name namespaces that do not exist."""

from collections.abc import Iterator, Mapping

from meshcore.labels import selects

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.fix import KnownNames, use_instead
from galley.core.analysis.inputs import Inputs, selector_text
from galley.core.analysis.kinds import AUTHORIZATION_POLICY, NAMESPACE, POD
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import NO_MATCHING_WORKLOADS, NOT_FOUND
from galley.core.analysis.reading import mappings, string_map, texts
from galley.core.analysis.resource import Resource
from galley.core.analysis.workloads import pod_in_mesh, pod_is_ambient

Labels = Mapping[str, str]


def check_policies(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Policies without workloads, and unknown namespaces in their rules."""
    workloads = _workloads_in_mesh(inputs)
    everyone = [labels for found in workloads.values() for labels in found]
    namespaces = [namespace.name for namespace in inputs.of(NAMESPACE)]
    guesses = KnownNames(namespaces)
    for policy in inputs.of(AUTHORIZATION_POLICY):
        mesh_wide = policy.namespace == inputs.root_namespace
        yield from _check_selector(policy, everyone if mesh_wide else workloads.get(policy.namespace, []), mesh_wide)
        yield from _check_namespaces(policy, namespaces, guesses)


def _workloads_in_mesh(inputs: Inputs) -> Mapping[str, list[Labels]]:
    found: dict[str, list[Labels]] = {}
    for pod in inputs.of(POD):
        if pod_in_mesh(pod, inputs) or pod_is_ambient(pod):
            found.setdefault(pod.namespace, []).append(pod.labels)
    for namespace, labels in inputs.workload_labels.items():
        found.setdefault(namespace, []).extend(labels)
    return found


def _check_selector(policy: Resource, workloads: list[Labels], mesh_wide: bool) -> Iterator[Message]:
    if policy.spec.get("selector") is None:
        if not mesh_wide and not workloads:
            yield Message(NO_MATCHING_WORKLOADS, policy, ("",))
        return
    selector = string_map(policy.spec, "selector", "matchLabels")
    if not any(selects(selector, labels) for labels in workloads):
        line = policy.line_of("spec.selector")
        yield Message(NO_MATCHING_WORKLOADS, policy, (selector_text(selector),), line)


def _check_namespaces(policy: Resource, known: list[str], guesses: KnownNames) -> Iterator[Message]:
    for rule_index, rule in mappings(policy.spec, "rules"):
        for from_index, source in mappings(rule, "from"):
            for field in ("namespaces", "notNamespaces"):
                for index, pattern in enumerate(texts(source, "source", field)):
                    if any(_matches(name, pattern) for name in known):
                        continue
                    line = policy.line_of(f"spec.rules[{rule_index}].from[{from_index}].source.{field}[{index}]")
                    place = ("spec", "rules", rule_index, "from", from_index, "source", field, index)
                    fix = use_instead(pattern, guesses, *place) if "*" not in pattern else None
                    yield Message(NOT_FOUND, policy, ("namespace", pattern), line, fix)


def _matches(name: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return name.endswith(pattern[1:])
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name.lower() == pattern.lower()
