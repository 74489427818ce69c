"""AuthorizationPolicy in a whole mesh: what the command line says live, and what dry runs count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mesh import Mesh, wait_until
from meshctl.adapters.envoy_admin import EnvoyAdmin

LEDGER = "http://ledger.books:9080"


def policy(name: str, spec: Mapping[str, Any], **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": "books", "annotations": annotations},
        "spec": dict(spec),
    }


def rules(path: str) -> list[Any]:
    return [{"to": [{"operation": {"paths": [path]}}]}]


def checked(mesh: Mesh, path: str, *more: str) -> dict[str, Any]:
    asked = ["default/client", "ledger.books:9080", "--path", path, "-o", "json", *more]
    document: dict[str, Any] = json.loads(mesh.run_here("authz", "check", *asked).stdout)
    return document


def test_what_is_checked_live_is_what_requests_meet(mesh: Mesh) -> None:
    from_client = {"from": [{"source": {"principals": ["*/sa/client"]}}]}
    allow = policy("checked", {"rules": [rules("/in")[0] | from_client]})
    mesh.converged(mesh.change([allow]))
    try:
        for path, status in (("/in", 200), ("/out", 403)):
            wait_until(
                f"{status} for {path}", lambda path=path, status=status: mesh.get(f"{LEDGER}{path}").status == status
            )
        found = checked(mesh, "/in")
        assert (found["decision"], found["why"]) == ("allowed", "books/checked rule 0 allows it")
        [config] = found["policies"][0]["configs"]
        assert config == f"AuthorizationPolicy/books/checked@{mesh.last_change}"
        refused = checked(mesh, "/out")
        assert (refused["decision"], refused["policies"][0]["misses"][0]["why"]) == ("denied", "the path is /out")
    finally:
        mesh.converged(mesh.change((), delete=[allow]))
    assert checked(mesh, "/out")["decision"] == "allowed"


def test_a_dry_run_counts_what_it_would_do(mesh: Mesh) -> None:
    dry = {"istio.io/dry-run": "true"}
    tried = [
        policy("tried-deny", {"action": "DENY", "rules": rules("/tried")}, **dry),
        policy("tried-allow", {"rules": rules("/tried")}, **dry),
    ]
    mesh.converged(mesh.change(tried))
    try:
        before = shadows(mesh)
        wait_until(
            "the new listener counts", lambda: mesh.get(f"{LEDGER}/tried").status == 200 and shadows(mesh) != before
        )
        start = shadows(mesh)
        assert [mesh.get(f"{LEDGER}/{path}").status for path in ("tried", "tried", "other")] == [200, 200, 200]
        told = {name: count - start.get(name, 0) for name, count in shadows(mesh).items()}
        assert told == {
            "istio_dry_run_deny_.shadow_denied": 2,
            "istio_dry_run_deny_.shadow_allowed": 1,
            "istio_dry_run_allow_.shadow_allowed": 2,
            "istio_dry_run_allow_.shadow_denied": 1,
        }
    finally:
        mesh.converged(mesh.change((), delete=tried))


def shadows(mesh: Mesh) -> dict[str, int]:
    """What the dry runs of the ledger's HTTP port have counted."""
    found = EnvoyAdmin(mesh.workload("ledger")["envoy_admin"]).get("/stats?format=json&filter=istio_dry_run")
    stats = [one for one in found["stats"] if "_9080" in one.get("name", "")]
    return {one["name"].rpartition("rbac.")[2]: int(one["value"]) for one in stats}
