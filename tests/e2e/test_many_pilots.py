"""Receipts are complete and true with two Pilots of two workers each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from mesh import Mesh, client, destination_rule, route, service, virtual_service, wait_until, workload
from meshcore.model.kinds import NETWORKING, by_plural
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import ROUTE_TYPE

ECHO = "http://echo:9080/"


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    entries = [client(), workload("echo-v1", app="echo"), workload("echo-v2", app="echo", version="v2")]
    running = Mesh(entries, "--pilots", "2", "--pilot-workers", "2").start()
    try:
        running.apply(service("echo"), destination_rule("echo", "v1", "v2"))
        wait_until("both versions answer", lambda: versions(running) == {"v1", "v2"})
        yield running
    finally:
        running.close()


def versions(mesh: Mesh) -> set[str]:
    """Of the workloads that answered some requests."""
    return {reply.body["version"] for reply in mesh.get_many(ECHO, 10) if reply.body}


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


def test_check_tells_of_every_worker_of_every_pilot(mesh: Mesh) -> None:
    found = json.loads(mesh.run_here("check", "-o", "json", "--timeout", "60").stdout)
    assert [one["pilot"] for one in found["pilots"]] == ["pilot-2/w0", "pilot-2/w1", "pilot/w0", "pilot/w1"]
    assert sum(one["proxies"]["synced"] for one in found["pilots"]) == found["proxies"]["connected"] == 3
    assert {(one["config"]["source"], one["config"]["revision"]) for one in found["pilots"]} == {
        ("bus", found["pilots"][0]["config"]["revision"])
    }
    assert {one["name"] for one in found["services"]} >= {"pilot", "pilot-2"}


def told(mesh: Mesh) -> str:
    """What the status of the VirtualService says of refusals."""
    live = mesh.config.read_document(virtual_service("echo", []))
    return "".join(str(one["message"]) for one in (live.get("status") or {}).get("conditions", ()))


async def test_one_status_tells_of_the_refusals_at_all_pilots_and_survives_its_writer(mesh: Mesh) -> None:
    mesh.config.apply(virtual_service("echo", [route("echo", "v1")]))
    async with AsyncExitStack() as stack:
        for pilot in (1, 2):
            one = AdsClient(f"{mesh.stack.pilot(pilot)}:15010", node(f"odd-{pilot}", "default"))
            one.refuse[ROUTE_TYPE] = "the virtual host echo.default.svc.cluster.local:9080 is odd"
            await stack.enter_async_context(one)
        both = await asyncio.to_thread(
            wait_until, "both are told of", lambda: (text := told(mesh)).count("odd-") == 2 and text, 60
        )
        assert "odd-1.default, odd-2.default refuse rds 9080: the virtual host" in both
        await asyncio.to_thread(mesh.kill, "pilot")
    await asyncio.to_thread(wait_until, "nothing is told any more", lambda: not told(mesh), 60)


def test_each_workload_is_one_entry_that_its_next_writer_leaves_as_it_is(mesh: Mesh) -> None:
    """The Pilot that had the lease may be the one that was killed before."""

    def generations() -> dict[str, int]:
        listed = mesh.config.list_objects(by_plural(NETWORKING, "workloadentries"), None)["items"]
        return {item["metadata"]["name"]: item["metadata"]["generation"] for item in listed}

    before = wait_until("two entries", lambda: len(found := generations()) == 2 and found, 60)
    mesh.add(workload("late"))
    after = wait_until("one more", lambda: len(found := generations()) == 3 and found, 60)
    assert {name: after[name] for name in before} == before
