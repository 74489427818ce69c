"""A whole mesh for tests: `meshctl` on a stack of its own, with real services, Envoys and traffic.

Everything goes through the command line or the APIs that users have. Nothing here sleeps for a guess: it waits for a
state that can be observed, until a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import secret_places
import yaml
from background_traffic import BackgroundTraffic, wait_until
from meshcore.model.kinds import by_kind
from meshcore.testing.processes import is_running
from meshcore.testing.traffic_rows import TrafficFolder, workload_group
from meshctl.__main__ import app_with
from meshctl.adapters.config_api import Applied, ConfigApi
from meshctl.adapters.demo_stack import wait_for_receipt
from meshctl.adapters.loopback import StackLock, lock_free_stack
from meshctl.adapters.pilot_api import PilotApi
from meshctl.adapters.processes import records
from meshctl.adapters.stack_client import stack_status
from meshctl.adapters.stack_files import running_settings
from meshctl.adapters.traffic import MeshConnection, Reply
from meshctl.core.layout import Layout
from meshctl.core.receipts import Convergence
from meshctl.core.topology import Stack
from typer.testing import CliRunner, Result

ROOT = Path(__file__).resolve().parents[2]
ROWS = TrafficFolder(Path(__file__).parent / "traffic")
ECHO_APP = ROWS.path / "echo.py"
APP = ROOT / "examples" / "bookshop" / "app.py"
UP_TIMEOUT = 120.0


def workload(
    name: str, *, app: str = "", version: str = "v1", namespace: str = "default", group: str | None = None, **more: Any
) -> dict[str, Any]:
    """An entry of a workloads file: the bookshop's `details` answers with its version on port 9080."""
    labels = {"app": app or name, "version": version}
    entry = {"name": name, "namespace": namespace, "service_account": app or name, "labels": labels}
    entry |= {"group": name if group is None else group, "ports": [9080]}
    entry["command"] = ["{python}", str(APP), "details", version, "--host", "{host}", "--port", "9080"]
    return entry | more


def client(name: str = "client", namespace: str = "default", **more: Any) -> dict[str, Any]:
    """A sidecar without an application."""
    labels = {"app": name}
    return {"name": name, "namespace": namespace, "service_account": name, "labels": labels, "group": ""} | more


def shared_workloads() -> list[dict[str, Any]]:
    """The workloads of the mesh that traffic rows share."""
    entries = []
    for item in ROWS.workloads:
        entry = {"name": item.name, "namespace": item.namespace, "service_account": item.service_account}
        entry |= {"labels": dict(item.labels), "ports": list(item.ports), "group": item.name if item.registers else ""}
        entry["type"] = item.type
        if item.has_echo:
            entry["command"] = ["{python}", str(ECHO_APP), item.name, item.labels["version"], "--host", "{host}"]
            entry["command"] += ["--namespace", item.namespace]
        entries.append(entry)
    return entries


def service(name: str, namespace: str = "default", selector: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A Service with one HTTP port."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": dict(selector or {"app": name}),
            "ports": [{"name": "http", "port": 9080, "targetPort": 9080}],
        },
    }


def virtual_service(host: str, http: Sequence[Mapping[str, Any]], namespace: str = "default") -> dict[str, Any]:
    """A VirtualService of one host, named as the host."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": host, "namespace": namespace},
        "spec": {"hosts": [host], "http": list(http)},
    }


def route(host: str, *subsets: str | tuple[str, int]) -> dict[str, Any]:
    """An HTTP route to subsets of a host, each a name or (name, weight)."""
    pairs = [(subset, 0) if isinstance(subset, str) else subset for subset in subsets]
    return {
        "route": [
            {"destination": {"host": host, "subset": name}} | ({"weight": weight} if weight else {})
            for name, weight in pairs
        ]
    }


def destination_rule(host: str, *versions: str, namespace: str = "default") -> dict[str, Any]:
    """A DestinationRule with a subset for each version."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": host, "namespace": namespace},
        "spec": {"host": host, "subsets": [{"name": name, "labels": {"version": name}} for name in versions]},
    }


class Mesh:
    """A running stack. `close()` leaves no process and no file."""

    def __init__(self, entries: Sequence[Mapping[str, Any]], *options: str) -> None:
        self._lock: StackLock = lock_free_stack(first=2)
        self.stack = Stack(self._lock.number)
        self.home = Path(tempfile.mkdtemp(prefix="mesh-e2e-"))
        self.layout = Layout(str(self.home / "meshcore" / f"stack-{self.stack.number}"))
        self.options = options
        self.environment = os.environ | {"XDG_STATE_HOME": str(self.home), "MESHCORE_STACK": str(self.stack.number)}
        self.environment |= self._lock.environment
        # Where tests have the files that config names.
        self.environment["MESHCORE_FILE_FOLDERS"] = tempfile.gettempdir()
        self._entries = list(entries)
        self._apis = contextlib.ExitStack()
        self._pilots: dict[int, PilotApi] = {}
        self.last_change = 0
        """Revision of the last change set that `change` wrote."""

    def start(self) -> Mesh:
        """Brings the stack up with its workloads and the config of each."""
        try:
            self.up("--workloads", str(self.workloads_file(self._entries)))
        except BaseException:
            self.close()
            raise
        return self

    @property
    def locks(self) -> tuple[int, ...]:
        """What a command of this mesh inherits: the stack's number stays ours from the choice to the end."""
        return self._lock.descriptors

    def workloads_file(self, entries: Sequence[Mapping[str, Any]]) -> Path:
        """A workloads file with the groups of its workloads as config."""
        folder = Path(tempfile.mkdtemp(prefix="w-", dir=self.home))
        groups = [workload_group(entry) for entry in entries if entry["group"]]
        (folder / "groups.yaml").write_text(yaml.safe_dump_all(groups))
        lines = ['config = ["groups.yaml"]']
        for entry in entries:
            lines.append("[[workload]]")
            lines += [f"{key} = {_toml(value)}" for key, value in entry.items()]
        path = folder / "workloads.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def meshctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs the command line on this stack."""
        command = [sys.executable, "-m", "meshctl", *arguments]
        done = subprocess.run(
            command,
            env=self.environment,
            pass_fds=self.locks,
            capture_output=True,
            text=True,
            timeout=UP_TIMEOUT + 60,
            check=False,
        )
        assert not check or done.returncode == 0, f"meshctl {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done

    def up(self, *more: str) -> None:
        """`meshctl up`: starts what does not run."""
        self.meshctl("up", "--timeout", str(UP_TIMEOUT), *self.options, *more)

    def add(self, *entries: Mapping[str, Any]) -> None:
        """Starts more workloads in the running stack."""
        self.up("--workloads", str(self.workloads_file(entries)))

    def run_here(self, *arguments: str, check: bool = True) -> Result:
        """Runs the command line on this stack inside this process: quicker, for what starts nothing."""
        app = app_with([arguments[0]])
        done = CliRunner().invoke(app, list(arguments), env=self.environment, catch_exceptions=False)
        assert not check or done.exit_code == 0, f"meshctl {' '.join(arguments)}:\n{done.output}"
        return done

    def status(self) -> dict[str, Any]:
        """What `meshctl status -o json` prints."""
        return stack_status(self.layout)

    def workload(self, name: str) -> dict[str, Any]:
        """One workload of the status."""
        return next(item for item in self.status()["workloads"] if item["name"] == name)

    def service(self, name: str) -> dict[str, Any]:
        """One service of the status."""
        return next(item for item in self.status()["services"] if item["name"] == name)

    @cached_property
    def config(self) -> ConfigApi:
        """Galley's config API as administrator."""
        token = Path(self.layout.admin_token).read_text().strip()
        root = Path(self.layout.root_certificate).read_text()
        api = ConfigApi(f"https://{self.stack.galley}:8081", root, token, timeout=60)
        return self._apis.enter_context(api)

    @cached_property
    def _changes(self) -> httpx.Client:
        token = Path(self.layout.admin_token).read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        url = f"http://{self.stack.galley}:15014"
        return self._apis.enter_context(httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60))

    def pilot(self, index: int = 1) -> PilotApi:
        """The admin REST of the `index`-th Pilot as administrator."""
        if index not in self._pilots:
            token = Path(self.layout.admin_token).read_text().strip()
            api = PilotApi(f"http://{self.stack.pilot(index)}:15014", token, timeout=60)
            self._pilots[index] = self._apis.enter_context(api)
        return self._pilots[index]

    def apply(self, *documents: Mapping[str, Any]) -> Convergence:
        """Writes objects and waits until every proxy has acknowledged the last of them."""
        return self.converged([self.config.apply(document) for document in documents][-1])

    def change(self, apply: Sequence[Mapping[str, Any]], delete: Sequence[Mapping[str, Any]] = ()) -> int:
        """Writes and deletes objects as one change set; its revision."""
        changes = [{"operation": "apply", "object": document} for document in apply]
        changes += [{"operation": "delete", "object": document} for document in delete]
        answer = self._changes.post("/api/v1/changesets", json={"changes": changes})
        assert answer.is_success, f"the change set was refused: {answer.text}"
        self.last_change = int(answer.json()["revision"])
        return self.last_change

    def mesh_config(self) -> dict[str, Any]:
        """The ConfigMap that holds MeshConfig, as it can be applied again."""
        live = self.config.read(by_kind("v1", "ConfigMap"), "istio-system", "istio")
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"},
            "data": live["data"],
        }

    def delete(self, *documents: Mapping[str, Any]) -> Convergence:
        """Deletes objects and waits until every proxy has acknowledged the last deletion."""
        return self.converged([self.config.delete(document) for document in documents][-1])

    def converged(self, change: Applied | int, pilot: int = 1) -> Convergence:
        """The receipt of a write (or a revision), complete and without a NACK."""
        revision = change if isinstance(change, int) else change.revision
        receipt = wait_for_receipt(self.pilot(pilot), revision, 60)
        assert receipt.complete, f"revision {revision} is still out: {receipt}"
        assert not receipt.failed, f"revision {revision} was refused: {receipt}"
        return receipt

    def proxy(self, name: str) -> str:
        """The mesh HTTP proxy of a workload."""
        return str(self.workload(name)["http_proxy"])

    def get(self, url: str, via: str = "client", headers: Mapping[str, str] | None = None) -> Reply:
        """One request through the sidecar of a workload."""

        async def ask() -> Reply:
            connection = MeshConnection(self.proxy(via))
            try:
                return await connection.get(url, headers)
            finally:
                connection.close()

        return asyncio.run(ask())

    def get_many(
        self, url: str, count: int, via: str = "client", headers: Mapping[str, str] | None = None
    ) -> list[Reply]:
        """Requests one after the other over one connection."""
        proxy = self.proxy(via)

        async def ask() -> list[Reply]:
            connection = MeshConnection(proxy)
            try:
                return [await connection.get(url, headers) for _ in range(count)]
            finally:
                connection.close()

        return asyncio.run(ask())

    def traffic(self, url: str, rate: float = 200, via: str = "client") -> BackgroundTraffic:
        """Steady traffic through the sidecar of a workload."""
        return BackgroundTraffic(self.proxy(via), url, rate)

    def kill(self, name: str) -> None:
        """kill -9 of a service, its worker processes too."""
        kill_sessions([int(self.service(name)["pid"])])

    def logs(self) -> Iterator[tuple[str, str]]:
        """Name and text of every log of the stack."""
        for path in sorted(Path(self.layout.root).glob("logs/*")):
            yield path.name, path.read_text(errors="replace")

    def close(self) -> None:
        """Takes the stack down and removes its files. Keeps them when MESHCORE_KEEP_STATE is set.

        Fails when `meshctl down` does, or when the mesh has shown a secret; the processes are ended all the same.
        """
        try:
            shown = secret_places.leaks(self)
            self._apis.close()
            self.meshctl("down")
            assert shown == []
        except BaseException:
            self._kill_all()
            raise
        finally:
            self._lock.release()
            if "MESHCORE_KEEP_STATE" not in os.environ:
                shutil.rmtree(self.home, ignore_errors=True)

    def _kill_all(self) -> None:
        """The supervisor first, so that it starts nothing again; then all that the pid files name."""
        supervisor = int(running_settings(self.layout).get("supervisor", 0))
        kill_sessions([supervisor] if supervisor else [])
        kill_sessions([record.pid for record in records(self.layout)])


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def kill_sessions(leaders: Sequence[int]) -> None:
    """kill -9 of these processes with all that they have started in their sessions."""
    members = [member for leader in leaders for member in _session(leader)]
    for member in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    wait_until(f"processes {members} are dead", lambda: not any(map(is_running, members)))


def _session(leader: int) -> list[int]:
    members = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(int(path.name)) == leader:
                members.append(int(path.name))
    return members
