"""WorkloadEntry (networking.istio.io): one endpoint of the mesh."""

from meshcore.model.kinds import NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.workload_entry.validate import validate
from galley.core.kube_api.columns import field

RULES = KindRules(NETWORKING, "WorkloadEntry", validate=validate, columns=(field("Address", "spec", "address"),))
