"""VirtualService (networking.istio.io)."""

from meshcore.model.kinds import NETWORKING

from galley.core.kind_rules import KindRules

RULES = KindRules(NETWORKING, "VirtualService")
