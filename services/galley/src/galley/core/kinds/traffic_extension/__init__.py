"""TrafficExtension (extensions.istio.io): a WebAssembly or Lua filter."""

from meshcore.model.kinds import EXTENSIONS

from galley.core.kind_rules import KindRules
from galley.core.kinds.traffic_extension.validate import validate

RULES = KindRules(EXTENSIONS, "TrafficExtension", validate=validate)
