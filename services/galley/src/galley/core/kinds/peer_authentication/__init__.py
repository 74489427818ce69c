"""PeerAuthentication (security.istio.io): which mTLS a workload asks of its callers."""

from meshcore.model.kinds import SECURITY

from galley.core.kind_rules import KindRules
from galley.core.kinds.peer_authentication.validate import validate
from galley.core.kube_api.columns import field

RULES = KindRules(
    SECURITY,
    "PeerAuthentication",
    validate=validate,
    columns=(field("Mode", "spec", "mtls", "mode", description="Which mTLS callers must speak"),),
)
