"""One compose stack for the whole run; everything goes at the end."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from compose_stack import Compose, lacking


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    if missing := lacking():
        pytest.exit(f"make test-compose needs {missing}", returncode=1)
    compose = Compose(tmp_path_factory.mktemp("home"))
    try:
        compose.compose("build")
        compose.compose("up", "-d", "--wait", "--wait-timeout", "120", check=False)
        states = {name: one["State"] for name, one in compose.containers().items()}
        unhealthy = [name for name, state in states.items() if state.get("Health", {}).get("Status") != "healthy"]
        if set(unhealthy) - {"init"}:
            logs = compose.compose("logs", "--no-color", "--tail", "40", *unhealthy)
            pytest.exit(f"not healthy: {', '.join(unhealthy)}\n{logs}", returncode=1)
        yield compose
    finally:
        compose.compose("down", "-v", "--remove-orphans", "-t", "5", check=False)
