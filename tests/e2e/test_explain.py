"""What meshctl explains and foretells is what real requests and real pushes then do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from listener_workers import ListenerWorkers
from mesh import ROWS, Mesh, route, virtual_service
from meshcore.model.kinds import by_kind
from meshcore.testing.traffic_rows import Row, RowCall
from row_calls import Caller
from test_traffic_rows import addresses, applied

__all__ = ["addresses"]
KIND = by_kind("networking.istio.io/v1", "VirtualService")
AREAS = ("matching", "actions", "authorization")
Addresses = Mapping[str, tuple[str, str]]


def explained(mesh: Mesh, call: RowCall) -> dict[str, Any]:
    options = ["--method", call.method, "-o", "json"]
    for name, value in call.headers.items():
        options += ["--header", f"{name}: {value}"]
    source = next(f"{one.namespace}/{one.name}" for one in ROWS.workloads if one.name == call.source)
    document: dict[str, Any] = json.loads(mesh.run_here("explain", source, call.url, *options).stdout)
    return document


def backends(document: Mapping[str, Any], addresses: Addresses) -> set[str]:
    """The workloads whose proxies are the endpoints."""
    owners = {address: name for name, both in addresses.items() for address in both}
    return {owners[endpoint.rpartition(":")[0]] for endpoint in document["endpoints"]}


def is_explained(call: RowCall) -> bool:
    """Plain requests of a sidecar whose way does not depend on chance or on what an application does, and that no
    filter answers itself: a preflight may be, and explain follows it as any request."""
    if call.method == "OPTIONS" and "access-control-request-method" in call.headers:
        return False
    plain = call.scheme == "http" and not call.to and call.source != "outside" and not call.not_simulated
    return plain and "$n" not in call.url and call.expect.statuses is None and call.expect.attempts is None


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in ROWS.row_files if path.parent.name in AREAS],
)
def test_explain_agrees_with_real_requests(
    mesh: Mesh, addresses: Addresses, workers: ListenerWorkers, path: Path
) -> None:
    row: Row = ROWS.row(path, addresses)
    with applied(mesh, workers, row):
        caller = Caller(mesh, f"explain-{row.id}")
        for call in filter(is_explained, row.calls):
            outcome, wrong = caller.call(call)
            assert not wrong, wrong
            found = explained(mesh, call)
            served = {answer.workload for answer in outcome.answers if answer.workload}
            assert served <= backends(found, addresses), (call, found["verdict"])
            if not served and found["status"]:
                assert {answer.status for answer in outcome.answers} == {found["status"]}, (call, found["verdict"])
            if found["works"] and call.expect.status_shares == {200: 100.0}:
                assert served, (call, found["verdict"])


def test_diff_foretells_the_push_and_changes_nothing(mesh: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "vs.json"
    path.write_text(json.dumps(virtual_service("echo", [route("echo", "v2")])))
    before = mesh.config.list_objects(KIND, "default")["metadata"]["resourceVersion"]
    told = json.loads(mesh.run_here("diff", "-f", str(path), "-o", "json").stdout)
    assert mesh.config.list_objects(KIND, "default")["metadata"]["resourceVersion"] == before
    [consequence] = [one for one in told["consequences"] if "client.default" in one["proxies"]]
    [change] = consequence["resources"]
    assert (change["type"], change["change"]) == ("rds", "changed")
    assert any("echo.default.svc.cluster.local:9080" in field["path"] for field in change["fields"])
    assert "VirtualService default/echo (" in mesh.run_here("diff", "-f", str(path)).stdout
    receipt = mesh.apply(virtual_service("echo", [route("echo", "v2")]))
    try:
        foretold = {proxy for one in told["consequences"] for proxy in one["proxies"]}
        assert receipt.proxies >= len(foretold) > 0
        assert json.loads(mesh.run_here("diff", "-f", str(path), "-o", "json").stdout)["consequences"] == []
        shown = mesh.run_here("explain", "client", "http://echo:9080/").stdout
        assert "by VirtualService default/echo (revision " in shown
    finally:
        mesh.delete(virtual_service("echo", []))


def test_a_dry_run_names_the_proxies_that_the_change_would_reach(mesh: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "vs.json"
    path.write_text(json.dumps(virtual_service("echo", [route("echo", "v2")])))
    done = mesh.run_here("apply", "-f", str(path), "--dry-run")
    assert "virtualservices.networking.istio.io/echo applied (dry run)" in done.stdout
    reached = next(line for line in done.stderr.splitlines() if line.startswith("It would reach "))
    assert "client.default" in reached
    assert not [
        item for item in mesh.config.list_objects(KIND, "default")["items"] if item["metadata"]["name"] == "echo"
    ]


def test_a_workload_that_is_not_there(mesh: Mesh) -> None:
    done = mesh.run_here("explain", "ghost", "echo", check=False)
    assert done.exit_code == 1
    assert "no proxy ghost.default is connected" in done.stderr
