"""Gateway (networking.istio.io): what a proxy at the edge listens on."""

from meshcore.model.kinds import NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.gateway.normalize import normalize
from galley.core.kinds.gateway.validate import validate

RULES = KindRules(NETWORKING, "Gateway", validate=validate, normalize=normalize)
