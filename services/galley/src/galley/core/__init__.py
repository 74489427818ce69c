"""What galley decides: pure, no I/O, no clock, no randomness."""
