"""ServiceAccount (v1): the identity of workloads."""

from meshcore.model.kinds import CORE

from galley.core.kind_rules import KindRules
from galley.core.kube_api.columns import count

RULES = KindRules(
    CORE,
    "ServiceAccount",
    columns=(count("Secrets", "secrets"),),
    strategic_merge_keys={"secrets": "name"},
    unconditional_update=True,
)
