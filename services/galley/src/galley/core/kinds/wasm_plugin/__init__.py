"""WasmPlugin (extensions.istio.io): a WebAssembly filter."""

from meshcore.model.kinds import EXTENSIONS

from galley.core.kind_rules import KindRules
from galley.core.kinds.wasm_plugin.validate import validate

RULES = KindRules(EXTENSIONS, "WasmPlugin", validate=validate)
