"""The command line against the shared mesh: shapes and exit codes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mesh import ROOT, Mesh, route, virtual_service, wait_until
from meshctl.adapters.stack_files import envoy_path


def test_status_names_services_and_where_they_listen(mesh: Mesh) -> None:
    document = json.loads(mesh.meshctl("status", "-o", "json").stdout)
    services = {entry["name"]: entry for entry in document["services"]}
    assert set(services) == {"nats", "galley", "citadel", "pilot", "injector"}
    assert all(entry["state"] == "ready" and entry["pid"] > 0 for entry in services.values())
    assert services["galley"]["config_api"] == f"https://{mesh.stack.galley}:8081"
    assert services["galley"]["admin"] == f"http://{mesh.stack.galley}:15014"


def test_the_kubeconfig_is_private(mesh: Mesh) -> None:
    path = Path(mesh.run_here("kubeconfig").stdout.strip())
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"https://{mesh.stack.galley}:8081" in path.read_text()
    by_file = mesh.run_here("get", "ns", "--kubeconfig", str(path), "--stack", "63")
    assert "istio-system" in by_file.stdout


def test_up_adopts_what_runs(mesh: Mesh) -> None:
    before = {entry["name"]: entry["pid"] for entry in mesh.status()["services"]}
    mesh.up()
    assert {entry["name"]: entry["pid"] for entry in mesh.status()["services"]} == before


def test_apply_get_delete(mesh: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "vs.json"
    path.write_text(json.dumps(virtual_service("ledger", [route("ledger", "v1")], "books")))
    assert "ledger created" in mesh.run_here("apply", "-f", str(path)).stdout
    assert "ledger unchanged" in mesh.run_here("apply", "-f", str(path)).stdout
    shown = json.loads(mesh.run_here("get", "vs", "ledger", "-n", "books", "-o", "json").stdout)
    assert shown["spec"]["http"][0]["route"][0]["destination"]["subset"] == "v1"
    assert "ledger" in mesh.run_here("get", "virtualservices", "-A").stdout
    assert "ledger deleted" in mesh.run_here("delete", "-f", str(path)).stdout
    assert mesh.run_here("delete", "-f", str(path), check=False).exit_code == 1


def test_a_dry_run_takes_the_files_as_one_change_and_analyses_it(mesh: Mesh, tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "dry"}}
    documents = [namespace, virtual_service("ledger", [route("reviewz.books.svc.cluster.local", "v1")], "dry")]
    path.write_text("\n---\n".join(map(json.dumps, documents)))
    found = mesh.run_here("apply", "--dry-run", "-f", str(path))
    assert "virtualservices.networking.istio.io/ledger applied (dry run)" in found.stdout
    assert "Error [IST0101] (VirtualService dry/ledger) Referenced host not found" in found.stderr
    documents[1]["spec"]["hosts"] = ["b_a"]
    path.write_text("\n---\n".join(map(json.dumps, documents)))
    refused = mesh.run_here("apply", "--dry-run", "-f", str(path), check=False)
    assert refused.exit_code == 1
    assert f"{path}:3: spec.hosts[0]: " in refused.stderr
    assert "namespaces/dry" not in refused.stdout
    assert mesh.run_here("get", "namespace", "dry", check=False).exit_code == 1


def test_proxy_status_lists_every_proxy(mesh: Mesh) -> None:
    table = mesh.run_here("proxy-status").stdout
    assert table.splitlines()[0].split()[:2] == ["NAME", "CLUSTER"]
    for name in ("client.default", "echo-v1.default", "ledger.books"):
        assert name in table


def test_what_a_proxy_was_sent_is_what_its_envoy_runs(mesh: Mesh) -> None:
    def last_lines() -> list[str]:
        return mesh.run_here("proxy-status", "client.default").stdout.splitlines()[-3:]

    # what the tests before have deleted may still be on its way
    wait_until("nothing differs", lambda: last_lines() == ["Clusters Match", "Listeners Match", "Routes Match"])


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("clusters", "echo.default.svc.cluster.local"),
        ("listeners", "15002"),
        ("routes", "echo.default.svc.cluster.local:9080"),
        ("endpoints", "outbound|9080||echo.default.svc.cluster.local"),
        ("secret", "cluster.local"),
        ("bootstrap", "xds-grpc"),
        ("all", "ROOTCA"),
    ],
)
def test_proxy_config(mesh: Mesh, part: str, expected: str) -> None:
    assert expected in mesh.run_here("proxy-config", part, "client.default").stdout
    document = json.loads(mesh.run_here("proxy-config", part, "client", "-o", "json").stdout)
    assert document


def test_an_unknown_workload_is_an_error(mesh: Mesh) -> None:
    done = mesh.run_here("proxy-config", "clusters", "ghost", check=False)
    assert done.exit_code == 1
    assert "ghost.default" in done.stderr


def test_the_bookshop_compiles_to_a_bootstrap_that_envoy_accepts(mesh: Mesh, tmp_path: Path) -> None:
    command = ["compile", "-f", str(ROOT / "examples"), "--proxy", "default/front", "--as", "bootstrap"]
    path = tmp_path / "bootstrap.json"
    path.write_text(mesh.meshctl(*command).stdout)
    checked = subprocess.run(
        [envoy_path(), "--mode", "validate", "-c", str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert checked.returncode == 0, checked.stderr


def test_no_secret_is_in_any_log(mesh: Mesh) -> None:
    identities = Path(mesh.layout.identities)
    tokens = [identities / "admin-token", identities / "citadel/galley-token", identities / "pilot/status-token"]
    tokens.append(identities / "galley/pilot-token")
    tokens += [identities / "citadel/kek", *Path(mesh.layout.root).glob("w/*/token")]
    secrets = {path.read_text().strip() for path in tokens}
    secrets |= {json.loads(path.read_text())["password"] for path in identities.glob("*/nats-user.json")}
    assert len(secrets) >= 4 + 4 + 4
    for name, text in mesh.logs():
        assert "PRIVATE KEY" not in text, name
        assert not [secret for secret in secrets if secret in text], name


def test_history_and_rollback_are_one_new_revision(mesh: Mesh) -> None:
    first = mesh.config.apply(config_map("notes", value="1"))
    mesh.config.apply(config_map("notes", value="2"))
    mesh.config.apply(config_map("other", value="1"))
    listed = mesh.run_here("history", "configmap", "notes").output.splitlines()
    assert listed[0].split() == ["REVISION", "TIME", "AUTHOR", "CHANGE"]
    assert [line.split()[-1] for line in listed[1:]] == ["added", "modified"]
    assert "added configmaps default/other" in mesh.run_here("history", "--after", str(first.revision)).output
    done = mesh.run_here("rollback", str(first.revision)).output
    assert done.endswith(f"is as revision {first.revision} was: 0 created, 1 updated, 1 deleted\n")
    assert mesh.config.read_document(config_map("notes"))["data"] == {"value": "1"}
    refused = mesh.run_here("rollback", "999999", check=False)
    assert refused.exit_code == 1
    assert "revision 999999 is not there yet" in refused.output
    mesh.config.delete(config_map("notes"))


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}
