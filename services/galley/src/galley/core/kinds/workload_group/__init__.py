"""WorkloadGroup (networking.istio.io): what registering workloads become."""

from meshcore.model.kinds import NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.workload_group.validate import validate

RULES = KindRules(NETWORKING, "WorkloadGroup", validate=validate)
