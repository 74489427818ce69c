"""Endpoints (v1): the older form of a Service's endpoints."""

from meshcore.model.kinds import CORE

from galley.core.kind_rules import KindRules
from galley.core.kinds.endpoints.validate import validate
from galley.core.kube_api.columns import short_list
from galley.core.kube_api.tables import Column, Document


def _endpoints(document: Document) -> str:
    shown = [
        f"{address['ip']}:{port['port']}"
        for subset in document.get("subsets") or ()
        for address in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    return short_list(shown)


RULES = KindRules(
    CORE,
    "Endpoints",
    validate=validate,
    columns=(Column("Endpoints", _endpoints),),
    strategic_merge_keys={},
    keeps_history=False,
    unconditional_update=True,
)
