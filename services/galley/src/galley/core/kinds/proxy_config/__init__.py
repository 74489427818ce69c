"""ProxyConfig (networking.istio.io): settings of the proxies themselves."""

from meshcore.model.kinds import NETWORKING

from galley.core.kind_rules import KindRules
from galley.core.kinds.proxy_config.validate import validate

RULES = KindRules(NETWORKING, "ProxyConfig", validate=validate)
