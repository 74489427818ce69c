"""RequestAuthentication (security.istio.io): which JWTs are valid at a workload."""

from meshcore.model.kinds import SECURITY

from galley.core.kind_rules import KindRules
from galley.core.kinds.request_authentication.normalize import normalize
from galley.core.kinds.request_authentication.validate import validate

RULES = KindRules(SECURITY, "RequestAuthentication", validate=validate, normalize=normalize)
