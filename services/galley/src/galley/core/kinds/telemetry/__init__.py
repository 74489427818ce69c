"""Telemetry (telemetry.istio.io): what a workload tells about its traffic."""

from meshcore.model.kinds import TELEMETRY

from galley.core.kind_rules import KindRules
from galley.core.kinds.telemetry.validate import validate

RULES = KindRules(TELEMETRY, "Telemetry", validate=validate)
