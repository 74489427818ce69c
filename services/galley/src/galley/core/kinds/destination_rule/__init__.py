"""DestinationRule (networking.istio.io): how a service is spoken to."""

from meshcore.model.kinds import NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.destination_rule.normalize import normalize
from galley.core.kinds.destination_rule.validate import validate
from galley.core.kube_api.columns import field

RULES = KindRules(
    NETWORKING,
    "DestinationRule",
    validate=validate,
    normalize=normalize,
    columns=(field("Host", "spec", "host", description="The name of a service from the service registry"),),
)
