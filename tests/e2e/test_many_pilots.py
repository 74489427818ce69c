"""Receipts are complete and true with two Pilots of two workers each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from mesh import Mesh, client, destination_rule, route, service, virtual_service, wait_until, workload

ECHO = "http://echo:9080/"


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    entries = [client(), workload("echo-v1", app="echo"), workload("echo-v2", app="echo", version="v2")]
    running = Mesh(entries, "--pilots", "2", "--pilot-workers", "2").start()
    try:
        running.apply(service("echo"), destination_rule("echo", "v1", "v2"))
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("pilot", [1, 2])
def test_each_pilot_tells_of_the_proxies_of_all(mesh: Mesh, pilot: int) -> None:
    wait_until("three proxies", lambda: len(mesh.pilot(pilot).sync_status()) == 3)
    for turn in range(6):
        wanted = f"v{turn % 2 + 1}"
        applied = mesh.config.apply(virtual_service("echo", [route("echo", wanted)]))
        receipt = mesh.converged(applied, pilot)
        assert receipt.proxies == 3
        replies = mesh.get_many(ECHO, 5)
        assert {reply.body["version"] for reply in replies} == {wanted}
