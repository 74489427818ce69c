"""The shared mesh: one stack for all traffic rows of a session. Tests that kill or expire something make their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mesh import Mesh, client, destination_rule, service, workload


@pytest.fixture(scope="session")
def mesh() -> Iterator[Mesh]:
    """client -> echo (v1, v2), and ledger in a namespace of its own."""
    entries = [
        client(),
        workload("echo-v1", app="echo"),
        workload("echo-v2", app="echo", version="v2"),
        workload("ledger", namespace="books"),
    ]
    running = Mesh(entries).start()
    try:
        running.apply(service("echo"), destination_rule("echo", "v1", "v2"), service("ledger", namespace="books"))
        yield running
    finally:
        running.close()
