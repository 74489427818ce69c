"""Settings of every test: property tests draw the same examples on every run (100 unless a test says otherwise)."""

import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "derandomised", derandomize=True, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("derandomised")

pytest_plugins = ["meshcore.testing.golden"]

# A run in the background of a script has Ctrl-C ignored, and so would every command that a test tries Ctrl-C on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
