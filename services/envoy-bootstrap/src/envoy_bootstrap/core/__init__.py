"""What envoy_bootstrap decides: pure, no I/O, no clock, no randomness."""
