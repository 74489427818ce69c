"""AuthorizationPolicy (security.istio.io): who may do what at a workload."""

from meshcore.model.kinds import SECURITY

from galley.core.kind_rules import KindRules
from galley.core.kinds.authorization_policy.validate import validate
from galley.core.kube_api.columns import field

RULES = KindRules(
    SECURITY,
    "AuthorizationPolicy",
    validate=validate,
    columns=(field("Action", "spec", "action", description="The operation to take."),),
)
