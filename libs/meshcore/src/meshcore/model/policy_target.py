"""What a policy applies to: workloads by labels, or objects by reference (type/v1beta1)."""

from typing import Annotated, Any

from pydantic import Field

from meshcore.model.base import MeshModel
from meshcore.model.cel import Cel, has

_GROUP = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_KIND = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
_OWN_NAMESPACE = Cel(
    "self.size() == 0", "cross namespace referencing is not currently supported", lambda namespace: not namespace
)


class PolicyTargetReference(MeshModel):
    """An object of the policy's own namespace; the empty group is Kubernetes' core group."""

    group: Annotated[str, Field(max_length=253, pattern=_GROUP)] = ""
    kind: Annotated[str, Field(min_length=1, max_length=63, pattern=_KIND)]
    name: Annotated[str, Field(min_length=1, max_length=253)]
    namespace: Annotated[str, _OWN_NAMESPACE] = ""


TargetReferences = Annotated[tuple[PolicyTargetReference, ...], Field(max_length=16)]


def _at_most_one(spec: Any) -> bool:
    names = ("selector", "target_ref", "target_refs")
    return sum(has(spec, name) for name in names if name in type(spec).model_fields) <= 1


ONE_TARGET = Cel(
    "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
    "only one of targetRefs or selector can be set",
    _at_most_one,
)
"""For specs that have all three."""
SELECTOR_OR_TARGETS = Cel(
    "(has(self.selector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
    "only one of targetRefs or selector can be set",
    _at_most_one,
)
"""For specs without `targetRef`."""
