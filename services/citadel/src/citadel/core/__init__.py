"""What citadel decides: pure, no I/O, no clock, no randomness."""
