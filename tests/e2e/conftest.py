"""The shared mesh: one stack for all traffic rows of a session. Tests that kill or expire something make their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from listener_workers import ListenerWorkers
from mesh import ROWS, Mesh, shared_workloads
from meshcore.testing.identity import TestCa, make_ca
from meshcore.testing.key_server import KeyServer, key_server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that look at what a whole session left behind come last."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def mesh() -> Iterator[Mesh]:
    """client -> echo (v1, v2), and ledger in a namespace of its own; see workloads.yaml and mesh.yaml of traffic/."""
    running = Mesh(shared_workloads()).start()
    try:
        running.converged(running.change(ROWS.config))
        yield running
    finally:
        running.close()


@pytest.fixture(scope="session")
def issuers() -> Iterator[KeyServer]:
    """Serves the keys of tokens.yaml, as the issuers of rows' tokens do."""
    with key_server(ROWS.mint.key_set) as server:
        yield server


@pytest.fixture(scope="session")
def workers(mesh: Mesh) -> Iterator[ListenerWorkers]:
    """Of all Envoys of the mesh."""
    sockets = [item["envoy_admin"] for item in mesh.status()["workloads"] if item.get("envoy_admin")]
    assert sockets
    waiting = ListenerWorkers(sockets)
    yield waiting
    waiting.close()


@pytest.fixture(scope="session")
def root() -> TestCa:
    """A public authority, which has nothing to do with the mesh's own."""
    return make_ca("a public authority")
