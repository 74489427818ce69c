"""Sidecar (networking.istio.io): what a workload's proxy knows and accepts."""

from meshcore.model.kinds import NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.sidecar.normalize import normalize
from galley.core.kinds.sidecar.validate import validate

RULES = KindRules(NETWORKING, "Sidecar", validate=validate, normalize=normalize)
