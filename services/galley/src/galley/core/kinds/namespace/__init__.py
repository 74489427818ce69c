"""Namespace (v1): a scope of names."""

from collections.abc import Mapping

from meshcore.model.kinds import CORE

from galley.core.kind_rules import Document, KindRules
from galley.core.kube_api.columns import field


def fill_defaults(document: Document) -> Document:
    """The finalizer that clients expect to see."""
    spec = document.get("spec")
    if spec is not None and not isinstance(spec, Mapping):
        return document
    return {**document, "spec": {"finalizers": ["kubernetes"], **(spec or {})}}


RULES = KindRules(
    CORE,
    "Namespace",
    fill_defaults=fill_defaults,
    columns=(field("Status", "status", "phase"),),
    strategic_merge_keys={},
    unconditional_update=True,
    initial_status={"phase": "Active"},
)
