"""Annotations on Kubernetes objects: unknown, deprecated, misplaced, with a wrong value, of an alpha feature."""

from collections.abc import Iterator

from galley.core.analysis.analyzer import Moment
from galley.core.analysis.annotation_registry import (
    ANNOTATIONS,
    ANY,
    NEVER_REPORTED,
    Annotation,
    Maturity,
    is_istio_annotation,
)
from galley.core.analysis.annotation_values import CHECKS
from galley.core.analysis.fix import Fix, KnownNames, add, put_entry, remove
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import DEPLOYMENT, NAMESPACE, POD, SERVICE
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import (
    ALPHA_ANNOTATION,
    DEPRECATED_ANNOTATION,
    INVALID_ANNOTATION,
    MISPLACED_ANNOTATION,
    UNKNOWN_ANNOTATION,
)
from galley.core.analysis.reading import text
from galley.core.analysis.resource import Resource
from galley.core.analysis.workloads import INJECT, containers

_CHECKED = (NAMESPACE, SERVICE, POD, DEPLOYMENT)
_PLACE = ("metadata", "annotations")
_WRITTEN_BY_CNI = frozenset(
    {
        "sidecar.istio.io/interceptionMode",
        "traffic.sidecar.istio.io/includeInboundPorts",
        "traffic.sidecar.istio.io/excludeInboundPorts",
        "traffic.sidecar.istio.io/includeOutboundIPRanges",
    }
)
"""What the CNI plugin writes by itself on pods without an init container."""


def check_annotations(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Unknown, deprecated, misplaced and invalid annotations."""
    for kind in _CHECKED:
        for resource in inputs.of(kind):
            for name, value in resource.annotations.items():
                if is_istio_annotation(name) and name not in NEVER_REPORTED:
                    yield from _check(resource, name, value)


def _line(resource: Resource, name: str) -> int:
    return resource.line_of(f"metadata.annotations[{name}]")


def _check(resource: Resource, name: str, value: str) -> Iterator[Message]:
    line = _line(resource, name)
    known = ANNOTATIONS.get(name)
    if known is None:
        yield Message(UNKNOWN_ANNOTATION, resource, (name,), line, _rename(resource, name))
        return
    if known.deprecated and not (name == INJECT and INJECT in resource.labels):
        extra = f' in favor of the "{INJECT}" label' if name == INJECT else ""
        yield Message(DEPRECATED_ANNOTATION, resource, (name, extra), line, _replace(resource, name, value))
    if ANY in known.kinds:
        return
    if resource.kind.name not in known.kinds:
        fix = _move(resource, known, value)
        yield Message(MISPLACED_ANNOTATION, resource, (name, ", ".join(known.kinds)), line, fix)
        return
    problem = CHECKS[name](value) if name in CHECKS else ""
    if problem:
        yield Message(INVALID_ANNOTATION, resource, (name, problem), line)


def _rename(resource: Resource, name: str) -> Fix:
    names = KnownNames(known.name for known in ANNOTATIONS.values() if {resource.kind.name, ANY} & {*known.kinds})
    meant = names.closest(name)
    away = remove(*_PLACE, name)
    if meant is None or meant in resource.annotations:
        return Fix("Remove the annotation: nothing reads it.", (away,))
    return Fix(f"Did you mean {meant!r}?", (add(resource.annotations[name], *_PLACE, meant), away))


def _replace(resource: Resource, name: str, value: str) -> Fix:
    away = remove(*_PLACE, name)
    if name != INJECT or resource.kind != POD:
        return Fix("Remove the annotation.", (away,))
    return Fix("Say it by the label.", (*put_entry(resource.body, INJECT, value, "metadata", "labels"), away))


def _move(resource: Resource, known: Annotation, value: str) -> Fix:
    away = remove(*_PLACE, known.name)
    if resource.kind == DEPLOYMENT and "Pod" in known.kinds:
        there = put_entry(resource.body, known.name, value, "spec", "template", "metadata", "annotations")
        return Fix("Move the annotation to the pod template.", (*there, away))
    return Fix(f"Remove the annotation: on a {resource.kind.name} it has no meaning.", (away,))


def check_maturity(inputs: Inputs, _: Moment) -> Iterator[Message]:
    """Annotations of alpha features, without those that Istio writes itself."""
    for kind in _CHECKED:
        for resource in inputs.of(kind):
            by_cni = kind == POD and not any(
                text(container, "name") == "istio-init" for container in containers(resource.spec, "initContainers")
            )
            for name in resource.annotations:
                known = ANNOTATIONS.get(name)
                if known is None or known.maturity is not Maturity.ALPHA or name in NEVER_REPORTED:
                    continue
                if not (by_cni and name in _WRITTEN_BY_CNI):
                    yield Message(ALPHA_ANNOTATION, resource, (name,), _line(resource, name))
