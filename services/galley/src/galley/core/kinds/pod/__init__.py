"""Pod (v1): an instance of a workload, which analysis reads."""

from meshcore.model.kinds import CORE

from galley.core.kind_rules import KindRules
from galley.core.kinds.pod.validate import validate
from galley.core.kube_api.columns import field

RULES = KindRules(
    CORE,
    "Pod",
    validate=validate,
    columns=(field("Status", "status", "phase"), field("IP", "status", "podIP", wide=True)),
    strategic_merge_keys={"spec.containers": "name", "spec.initContainers": "name"},
    keeps_history=False,
    unconditional_update=True,
    answers_deletion_with_object=True,
)
