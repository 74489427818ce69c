"""ServiceAccount (v1): the identity of workloads."""

from meshcore.model.kinds import CORE

from galley.core.apply.structure import Structure
from galley.core.kind_rules import KindRules
from galley.core.kube_api.columns import count

RULES = KindRules(
    CORE,
    "ServiceAccount",
    columns=(count("Secrets", "secrets"),),
    strategic_merge_keys={"secrets": "name"},
    structure=Structure(list_keys={"secrets": {"name": None}}),
    unconditional_update=True,
    answers_deletion_with_object=True,
)
