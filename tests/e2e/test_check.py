"""`meshctl check` on a control plane that is well, and on one of which something is wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mesh import Mesh, wait_until
from meshcore.testing.ads_client import AdsClient, node
from meshcore.xds.types import CLUSTER_TYPE

PATIENT = ("--timeout", "60")


def codes(told: dict[str, Any]) -> dict[str, str]:
    """What was found, by code, with what it is about."""
    return {one["code"]: one["subject"] for one in told["findings"]}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process takes no part meanwhile; its supervisor sees it run."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_nothing_is_wrong_with_a_control_plane_that_is_well(mesh: Mesh) -> None:
    shown = mesh.run_here("check", *PATIENT)
    assert shown.stdout.splitlines()[-1].startswith("✔ No issues found")
    for row in ("push_throttle", "new_streams_per_second", "admission_limit", "debounce_after", "workers"):
        assert f"all     {row}" in shown.stdout
    told = json.loads(mesh.run_here("check", "-o", "json", *PATIENT).stdout)
    assert told["ok"] is True
    assert told["findings"] == []
    services = {one["name"]: one for one in told["services"]}
    assert set(services) == {"nats", "galley", "citadel", "pilot", "injector"}
    assert all(one["state"] == "ready" for one in services.values())
    assert services["galley"]["version"] == told["client"]["version"]
    (process,) = told["pilots"]
    (throttle,) = (one for one in process["bounds"] if one["name"] == "push_throttle")
    assert throttle["value"] is None
    assert throttle["reason"].startswith("PILOT_PUSH_THROTTLE is not set: adaptive")
    assert process["config"]["source"] == "bus"
    assert process["config"]["revision"] >= mesh.last_change
    assert told["proxies"]["connected"] == told["proxies"]["synced"] >= 3
    owners = {one["name"].partition(" ")[0] for one in told["certificates"] if one["role"] == "service"}
    assert owners == {
        f"spiffe://cluster.local/ns/istio-system/sa/{name}" for name in ("galley", "citadel", "pilot", "injector")
    }
    assert {one["role"] for one in told["certificates"]} >= {"root", "signer", "workload"}


async def test_a_proxy_that_refuses_is_named_and_ends_with_code_one(mesh: Mesh) -> None:
    other = AdsClient(f"{mesh.stack.pilot()}:15010", node("odd", "default", service_account="odd"))
    other.refuse[CLUSTER_TYPE] = "not to my taste"
    async with other:
        await other.until(lambda: any(one.type_url == CLUSTER_TYPE for one in other.responses), 60)
        await asyncio.to_thread(wait_until, "Pilot has the refusal", lambda: is_refused(mesh, "odd.default"))
        done = await asyncio.to_thread(mesh.run_here, "check", "--timeout", "0", check=False)
    assert done.exit_code == 1
    assert "Error [ProxyRefuses] (odd.default) odd.default refused its CDS" in done.stdout
    assert "not to my taste" in done.stdout
    assert "What would be right: " in done.stdout
    assert "No issues found" not in done.stdout


def is_refused(mesh: Mesh, proxy: str) -> bool:
    rows = [row for row in mesh.pilot().sync_status() if row["proxy"] == proxy]
    return any(one.get("lastError") for row in rows for one in row["resources"].values())


def test_a_service_that_does_not_answer_is_named_and_the_others_are_told_of(mesh: Mesh) -> None:
    mesh.run_here("check", *PATIENT)  # nothing is left of the proxy that refused
    with stopped(mesh.service("injector")["pid"]):
        done = mesh.run_here("check", "-o", "json", check=False)
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert codes(told) == {"ServiceSilent": "injector"}
    states = {one["name"]: one["state"] for one in told["services"]}
    assert states.pop("injector") == "silent"
    assert set(states.values()) == {"ready"}
    mesh.run_here("check", *PATIENT)


def test_a_stack_that_does_not_run_and_a_project_without_compose_are_errors(mesh: Mesh) -> None:
    done = mesh.run_here("check", "--stack", "63", check=False)
    assert done.exit_code == 1
    assert "stack 63 does not run" in done.stderr
    done = mesh.run_here("check", "shop", check=False)
    assert done.exit_code == 1
    assert "needs --compose" in done.stderr
