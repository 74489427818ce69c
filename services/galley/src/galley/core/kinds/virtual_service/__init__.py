"""VirtualService (networking.istio.io): where requests go."""

from meshcore.model.kinds import NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.virtual_service.normalize import normalize
from galley.core.kinds.virtual_service.validate import validate
from galley.core.kube_api.columns import field

RULES = KindRules(
    NETWORKING,
    "VirtualService",
    validate=validate,
    normalize=normalize,
    columns=(
        field("Gateways", "spec", "gateways", description="The gateways that apply these routes"),
        field("Hosts", "spec", "hosts", description="The hosts that traffic is sent to"),
    ),
)
