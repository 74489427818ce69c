"""What envoy_bootstrap does: parse, call core, send."""
