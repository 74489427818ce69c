"""Sidecars: selectors without pods, several for one pod or namespace, and those that ambient mode leaves idle."""

from collections.abc import Iterator

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.analyzers.scoped_selection import Selection, names_of, pods_of, selects_nothing
from galley.core.analysis.fix import Fix
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import SIDECAR
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import CONFLICTING_SIDECARS, INEFFECTIVE_POLICY, SIDECARS_WITHOUT_SELECTOR
from galley.core.analysis.reading import string_map
from galley.core.analysis.resource import Resource
from galley.core.analysis.workloads import namespace_is_ambient, pod_is_ambient

_DELETE = Fix("Delete it: a Sidecar configures sidecar proxies, and there are none.")


def check_sidecars(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """All Sidecars."""
    without_selector: dict[str, list[Resource]] = {}
    by_pod: dict[Resource, list[Resource]] = {}
    for sidecar in inputs.of(SIDECAR):
        labels = string_map(sidecar.spec, "workloadSelector", "labels")
        if not labels:
            without_selector.setdefault(sidecar.namespace, []).append(sidecar)
            continue
        selection = Selection(sidecar, labels, "spec.workloadSelector.labels")
        pods = pods_of(selection, inputs)
        yield from selects_nothing(selection, pods, inputs)
        for pod in pods:
            by_pod.setdefault(pod, []).append(sidecar)
    ineffective: set[Resource] = set()
    for pod, sidecars in by_pod.items():
        if pod_is_ambient(pod):
            for sidecar in sidecars:
                if sidecar not in ineffective:
                    ineffective.add(sidecar)
                    yield Message(
                        INEFFECTIVE_POLICY, sidecar, ("the selected workload is in ambient mode",), 0, _DELETE
                    )
        elif len(sidecars) > 1:
            for sidecar in sidecars:
                parameters = (names_of(sidecars), pod.namespace, pod.name)
                yield Message(CONFLICTING_SIDECARS, sidecar, parameters, sidecar.line_of("metadata.name"))
    yield from _without_selector(without_selector, inputs)


def _without_selector(by_namespace: dict[str, list[Resource]], inputs: Inputs) -> Iterator[Message]:
    for namespace, sidecars in by_namespace.items():
        ambient = namespace_is_ambient(inputs.namespace(namespace))
        for sidecar in sidecars:
            line = sidecar.line_of("metadata.name")
            if ambient:
                yield Message(INEFFECTIVE_POLICY, sidecar, ("the namespace is in ambient mode",), line, _DELETE)
            elif len(sidecars) > 1:
                yield Message(SIDECARS_WITHOUT_SELECTOR, sidecar, (names_of(sidecars), namespace), line)
