"""EnvoyFilter (networking.istio.io): patches of what is generated for Envoy."""

from meshcore.model.kinds import NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.envoy_filter.validate import validate

RULES = KindRules(NETWORKING, "EnvoyFilter", validate=validate)
