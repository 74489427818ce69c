"""Which pods the objects of a kind select, where one object should rule each pod."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from meshcore.labels import selects

from galley.core.analysis.inputs import Inputs, selector_text
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import NOT_FOUND
from galley.core.analysis.resource import Resource


@dataclass(frozen=True, slots=True)
class Selection:
    """One object with the labels that it selects by, and the path of these in the object."""

    resource: Resource
    labels: Mapping[str, str]
    path: str


def pods_of(selection: Selection, inputs: Inputs) -> tuple[Resource, ...]:
    """The pods of the object's namespace that it selects."""
    pods = inputs.pods_in(selection.resource.namespace)
    return tuple(pod for pod in pods if selects(selection.labels, pod.labels))


def selects_nothing(selection: Selection, pods: tuple[Resource, ...], inputs: Inputs) -> Iterator[Message]:
    """The message about a selector that no workload has."""
    resource = selection.resource
    if not pods and not inputs.selects_workload(selection.labels, resource.namespace):
        line = resource.line_of(f"{selection.path}[{sorted(selection.labels)[0]}]")
        yield Message(NOT_FOUND, resource, ("selector", selector_text(selection.labels)), line)


def names_of(resources: Iterable[Resource]) -> list[str]:
    """Their names, sorted."""
    return sorted(resource.name for resource in resources)
