"""Ingress (networking.k8s.io/v1): a way in, which Pilot reads as a Gateway and VirtualServices."""

from meshcore.model.kinds import KUBERNETES_NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.ingress.columns import COLUMNS
from galley.core.kinds.ingress.validate import validate

RULES = KindRules(
    KUBERNETES_NETWORKING,
    "Ingress",
    validate=validate,
    columns=COLUMNS,
    strategic_merge_keys={},
    initial_status={"loadBalancer": {}},
    unconditional_update=True,
)
