"""Envoy's runtime: the flags that Istio sets, the operator's `runtimeValues` over them, and the admin layer. Pure."""

from collections.abc import Mapping
from typing import Any

_DEFAULTS: Mapping[str, Any] = {
    "envoy.deprecated_features:envoy.config.listener.v3.Listener.hidden_envoy_deprecated_use_original_dst": True,
    "envoy.reloadable_features.coalesce_lb_rebuilds_on_batch_update": False,
    "envoy.reloadable_features.fixed_heap_use_allocated": True,
    # A path with a fragment is cut, not refused: authorisation strips fragments too, so both see the same path.
    "envoy.reloadable_features.http_reject_path_with_fragment": False,
    "re2.max_program_size.error_level": "32768",
}
_OF_POLICY: Mapping[str, Mapping[str, Any]] = {
    # TLS 1.3 of gRPC's own library does not keep to the ciphers that FIPS 140-2 knows.
    "fips-140-2": {"envoy.reloadable_features.google_grpc_disable_tls_13": True},
}


def layered_runtime(values: Mapping[str, str], compliance_policy: str = "") -> dict[str, Any]:
    """`values` are ProxyConfig's: an empty one deletes a default, `true` and `false` become booleans."""
    merged = {**_DEFAULTS, **_OF_POLICY.get(compliance_policy, {})}
    for key, value in values.items():
        if value == "":
            merged.pop(key, None)
        else:
            merged[key] = {"true": True, "false": False}.get(value, value)
    static = {key: merged[key] for key in sorted(merged)}
    return {
        "layers": [{"name": "global config", "static_layer": static}, {"name": "admin", "admin_layer": {}}],
    }
