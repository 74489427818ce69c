"""A workload outside of the cluster: its files are written, an agent is started from them and nothing else, and the
endpoint comes and goes with its application's health."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from mesh import Mesh, service

SPACE = "far"
NUMBER = 150


@pytest.fixture
def folder(mesh: Mesh, tmp_path: Path) -> Iterator[Path]:
    group = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": "till", "namespace": SPACE},
        "spec": {
            "metadata": {"labels": {"app": "till"}},
            "template": {"serviceAccount": "till", "labels": {"app": "till"}},
            "probe": {"exec": {"command": ["test", "-e", str(tmp_path / "well")]}, "periodSeconds": 1},
        },
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "till", "namespace": SPACE}}
    documents = [account, group, service("till", SPACE)]
    mesh.converged(mesh.change([namespace, *documents]))
    (tmp_path / "group.json").write_text(json.dumps(group))
    yield tmp_path
    mesh.converged(mesh.change([], delete=documents))


def until(condition: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what} was not seen\n{log.read_text()[-4000:]}"
        time.sleep(0.1)  # between looks at another process


def test_the_files_that_meshctl_writes_are_all_that_an_agent_needs(mesh: Mesh, folder: Path) -> None:
    address = mesh.stack.proxy(NUMBER)
    said = mesh.run_here(
        "workload", "entry", "configure", "-f", str(folder / "group.json"), "-o", str(folder / "vm"),
        "--internalIP", address, "--no-capture-dns",
    ).stdout  # fmt: skip
    assert "cluster.env, hosts, istio-token, mesh.yaml, root-cert.pem" in said
    assert {path.stat().st_mode & 0o777 for path in (folder / "vm").iterdir()} == {0o600}
    mesh_file = folder / "vm" / "mesh.yaml"
    mesh_file.write_text(mesh_file.read_text().replace("defaultConfig:\n", "defaultConfig:\n  drainDuration: 1s\n"))
    command = [sys.executable, "-m", "envoy_bootstrap", "proxy", "sidecar", "--vm-dir", str(folder / "vm")]
    own = {
        "PATH": os.environ["PATH"],
        "STATE_DIR": str(mesh.home / "till"),
        "ISTIO_META_INTERCEPTION_MODE": "NONE",
        "ISTIO_META_MESHCORE_APP_ADDRESS": mesh.stack.application(NUMBER),
    }
    log = folder / "log"

    def start(*more: str) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen([*command, *more], env=own, stdout=output, stderr=output)

    agent = start()
    try:
        until(lambda: ready(address), "a ready proxy", log)
        assert endpoints(mesh) == [], "its application is not well yet"
        (folder / "well").touch()
        until(lambda: endpoints(mesh) == [address], "the endpoint", log)
        old, agent = agent, start("--take-over")
        seen = []
        until(lambda: seen.append(endpoints(mesh)) or old.poll() is not None, "the agent of before gone", log)
        assert old.returncode == 0
        assert [found for found in seen if found != [address]] == [], "its registration goes over without a gap"
        (folder / "well").unlink()
        until(lambda: endpoints(mesh) == [], "the endpoint taken out", log)
    finally:
        agent.terminate()
        assert agent.wait(timeout=60) == 0


def ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}:15021/healthz/ready", verify=False).status_code == 200
    except httpx.TransportError:
        return False


def endpoints(mesh: Mesh) -> list[str]:
    """Healthy addresses of the service, as a caller's Envoy has them."""
    shown = json.loads(mesh.run_here("proxy-config", "endpoints", "client.default", "-o", "json").stdout)
    return sorted(
        host["address"]["socket_address"]["address"]
        for cluster in shown
        if f"till.{SPACE}" in cluster["name"]
        for host in cluster.get("host_statuses", ())
        if host["health_status"].get("eds_health_status", "HEALTHY") == "HEALTHY"
    )


@pytest.mark.parametrize("words", [[], ["--name", "nobody", "-n", SPACE]])
def test_without_a_group_nothing_is_written(mesh: Mesh, tmp_path: Path, words: list[str]) -> None:
    done = mesh.run_here("workload", "entry", "configure", "-o", str(tmp_path / "vm"), *words, check=False)
    assert done.exit_code == 1
    assert not (tmp_path / "vm").exists()
