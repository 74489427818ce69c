"""One compose stack for the whole run; everything goes at the end."""

import sys
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from compose_stack import SHOP, Compose, lacking


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    if missing := lacking():
        pytest.exit(f"make test-compose needs {missing}", returncode=1)
    compose = Compose(tmp_path_factory.mktemp("home"))
    try:
        compose.compose("build")
        done = compose.run("docker", "compose", "up", "-d", "--wait", "--wait-timeout", "90", check=False)
        if done.returncode:
            states = {name: one["State"] for name, one in compose.containers().items()}
            unhealthy = [name for name, state in states.items() if state.get("Health", {}).get("Status") != "healthy"]
            logs = compose.compose("logs", "--no-color", "--tail", "40", *unhealthy)
            pytest.exit(f"not up: {', '.join(unhealthy)}\n{done.stderr[-2000:]}\n{logs}", returncode=1)
        with httpx.Client() as client:
            compose.first_answer = client.get(SHOP, timeout=60).status_code
        yield compose
    finally:
        compose.compose(
            "--profile",
            "observability",
            "--profile",
            "outside",
            "down",
            "-v",
            "--remove-orphans",
            "-t",
            "5",
            check=False,
        )
