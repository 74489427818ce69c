"""Envoy's runtime: the flags that Istio sets, the operator's `runtimeValues` over them, and the admin layer. Pure."""

from collections.abc import Mapping
from typing import Any

_DEFAULTS: Mapping[str, Any] = {
    "envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst": True,
    # A path with a fragment is cut, not refused: authorisation strips fragments too, so both see the same path.
    "envoy.reloadable_features.http_reject_path_with_fragment": False,
    "re2.max_program_size.error_level": "32768",
}


def layered_runtime(values: Mapping[str, str]) -> dict[str, Any]:
    """`values` are ProxyConfig's: an empty one deletes a default, `true` and `false` become booleans."""
    merged = dict(_DEFAULTS)
    for key, value in values.items():
        if value == "":
            merged.pop(key, None)
        else:
            merged[key] = {"true": True, "false": False}.get(value, value)
    static = {key: merged[key] for key in sorted(merged)}
    return {
        "layers": [{"name": "global config", "static_layer": static}, {"name": "admin", "admin_layer": {}}],
    }
