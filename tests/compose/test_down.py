"""The end of the stack; after every other test of it."""

import pytest

pytestmark = [pytest.mark.compose, pytest.mark.timeout(120)]


def test_down_leaves_nothing(stack):
    stack.compose("--profile", "observability", "--profile", "outside", "down", "-v", "-t", "5")
    assert stack.leftovers() == {"containers": [], "volumes": [], "networks": []}
