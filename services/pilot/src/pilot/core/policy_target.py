"""Whether a policy means a class of proxies: by the labels of a selector, or by a reference to its Gateway. Pure."""

from collections.abc import Mapping
from typing import Any

from meshcore.labels import selects
from meshcore.model import MeshObject
from meshcore.model.envoy_filter import EnvoyFilterSpec
from meshcore.model.gateway_api.references import GATEWAY_API

from pilot.core.proxy import ProxyClass, ProxyType
from pilot.core.selection import GATEWAY_NAME_LABEL


def is_target(policy: MeshObject, one: ProxyClass, root_namespace: str) -> bool:
    """Policies count in their own namespace, those of the root namespace everywhere; without a target for everybody.

    References name Gateways of the Gateway API, in the policy's own namespace.
    """
    owner = policy.metadata.namespace
    if owner not in (root_namespace, one.namespace):
        return False
    spec: Any = policy.spec  # type: ignore[attr-defined]
    single = getattr(spec, "target_ref", None)
    references = spec.target_refs or ((single,) if single is not None else ())
    if references:
        name = one.label_map.get(GATEWAY_NAME_LABEL, "")
        wanted = [ref.name for ref in references if ref.kind == "Gateway" and ref.group == GATEWAY_API]
        return one.type is ProxyType.ROUTER and owner == one.namespace and name in wanted
    return selects(_labels(spec), one.label_map)


def has_target(policy: MeshObject) -> bool:
    """Whether the policy is for some workloads of its namespace only."""
    spec: Any = policy.spec  # type: ignore[attr-defined]
    references = spec.target_refs or getattr(spec, "target_ref", None)
    return bool(references) or bool(_labels(spec))


def _labels(spec: Any) -> Mapping[str, str]:
    """Of the selector, which EnvoyFilter spells otherwise; none for everybody."""
    if isinstance(spec, EnvoyFilterSpec):
        return spec.workload_selector.labels if spec.workload_selector is not None else {}
    labels: Mapping[str, str] = spec.selector.match_labels if spec.selector is not None else {}
    return labels
