"""Settings of every test: property tests draw the same examples on every run (100 unless a test says otherwise)."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "derandomised", derandomize=True, max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("derandomised")

pytest_plugins = ["meshcore.testing.golden"]
