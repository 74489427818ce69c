"""Namespace (v1): a scope of names."""

from meshcore.model.kinds import CORE

from galley.core.kind_rules import Document, KindRules
from galley.core.kube_api.columns import field


def fill_defaults(document: Document) -> Document:
    """The finalizer that clients expect to see."""
    return {**document, "spec": {"finalizers": ["kubernetes"], **(document.get("spec") or {})}}


RULES = KindRules(
    CORE,
    "Namespace",
    fill_defaults=fill_defaults,
    columns=(field("Status", "status", "phase"),),
    strategic_merge_keys={},
    unconditional_update=True,
    initial_status={"phase": "Active"},
)
