"""What pilot decides: pure, no I/O, no clock, no randomness."""
