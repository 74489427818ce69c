"""NATS, Galley, Citadel and Pilot as users start them, on a stack of its own, and what Pilot has spent."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
from meshcore.errors import MeshError
from meshctl.adapters.config_api import ConfigApi
from meshctl.adapters.demo_stack import wait_for_receipt
from meshctl.adapters.loopback import lock_free_stack
from meshctl.adapters.pilot_api import PilotApi
from meshctl.adapters.stack_client import stack_status
from meshctl.core.layout import Layout
from meshctl.core.receipts import Convergence
from meshctl.core.topology import ADMIN_PORT, CONFIG_API_PORT, XDS_PLAINTEXT_PORT, XDS_PORT, Stack

from bench.scale.client.node import namespace_of
from bench.scale.spent import Spent, runs

BATCH = 400


class Mesh:
    """`meshctl up`, of this checkout or of another one at `server` that is set up; `workers` is Pilot's."""

    def __init__(self, server: Path | None = None, workers: int = 1) -> None:
        _many_files()
        self._lock = lock_free_stack(first=2)
        self.stack = Stack(self._lock.number)
        self._python = sys.executable if server is None else str(server.absolute() / ".venv" / "bin" / "python")
        self._workers = workers
        self._home = tempfile.mkdtemp(prefix="mesh-bench-")
        self.layout = Layout(f"{self._home}/meshcore/stack-{self.stack.number}")
        state = {"XDG_STATE_HOME": self._home, "MESHCORE_STACK": str(self.stack.number)}
        self._environment = os.environ | state | self._lock.environment
        self._open = contextlib.ExitStack()
        self._revision = 0
        """That of the last change set."""
        self.turns = count()
        """Numbers of changes, so that none is what there is already."""

    def meshctl(self, *arguments: str) -> str:
        """Runs the command line on this stack; what it prints."""
        command = [self._python, "-m", "meshctl", *arguments]
        done = subprocess.run(
            command,
            env=self._environment,
            pass_fds=self._lock.descriptors,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self._home,
        )
        return done.stdout

    def __enter__(self) -> Mesh:
        self._open.callback(shutil.rmtree, self._home, ignore_errors=True)
        self._open.callback(self._lock.release)
        self._open.callback(self.meshctl, "down")
        try:
            self.meshctl("up", "--timeout", "120", "--pilot-workers", str(self._workers))
            token = Path(self.layout.admin_token).read_text().strip()
            root = Path(self.layout.root_certificate).read_text()
            galley = f"https://{self.stack.galley}:{CONFIG_API_PORT}"
            self.config = self._open.enter_context(ConfigApi(galley, root, token, timeout=60))
            self.pilot_api = PilotApi(f"http://{self.stack.pilot()}:{ADMIN_PORT}", token, timeout=60)
            self._open.enter_context(self.pilot_api)
            self._changes = self._open.enter_context(
                httpx.Client(
                    base_url=f"http://{self.stack.galley}:{ADMIN_PORT}",
                    headers={"authorization": f"Bearer {token}"},
                    trust_env=False,
                    timeout=120,
                )
            )
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def target(self, transport: str) -> str:
        """Where Pilot serves ADS."""
        return f"{self.stack.pilot()}:{XDS_PORT if transport == 'mtls' else XDS_PLAINTEXT_PORT}"

    def change(self, changes: Sequence[Mapping[str, Any]]) -> int:
        """Writes one change set (`operation` and `object` each); its revision."""
        answer = self._changes.post("/api/v1/changesets", json={"changes": list(changes)})
        assert answer.is_success, answer.text[:2000]
        self._revision = int(answer.json()["revision"])
        return self._revision

    def feed(self, made: Sequence[dict[str, Any]]) -> None:
        """Writes many objects, and waits until Pilot has seen them."""
        revision = 0
        for start in range(0, len(made), BATCH):
            revision = self.change([{"operation": "apply", "object": one} for one in made[start : start + BATCH]])
        if revision:
            self.receipt(revision)

    def receipt(self, revision: int, seconds: float = 120) -> Convergence:
        """The receipt of a revision that everybody has acknowledged; asked for again while some of Pilot is silent."""
        deadline = time.monotonic() + seconds
        while True:
            found = wait_for_receipt(self.pilot_api, revision, max(0.0, deadline - time.monotonic()))
            if found.complete:
                return found
            assert found.silent, found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def wait_for_copy(self, seconds: float = 60) -> None:
        """Until Pilot's copy on disk has all change sets: a Pilot that starts from an older one has less to do."""
        deadline = time.monotonic() + seconds
        while _kept(Path(self.layout.state("pilot")) / "config.copy") < self._revision:
            assert time.monotonic() < deadline, "Pilot has not written its copy"
            time.sleep(0.05)

    def pid(self, name: str = "pilot") -> int:
        """Of a service; 0 while it does not run."""
        return next(int(one["pid"] or 0) for one in stack_status(self.layout)["services"] if one["name"] == name)

    def pilot(self) -> Spent:
        """Pilot with its workers."""
        return Spent(self.pid())

    def own_processes(self) -> set[int]:
        """The supervisor, which is the parent of all others."""
        settings = json.loads(Path(self.layout.settings).read_text())
        return {int(settings["supervisor"]), os.getpid()}

    def kill_pilot(self, seconds: float = 10) -> None:
        """With its workers, at once, until none of them serves any more; the supervisor starts it again."""
        pids = self.pilot().pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + seconds
        while any(map(runs, pids)):
            assert time.monotonic() < deadline, "Pilot does not end"
            time.sleep(0.002)

    def ready_at(self, seconds: float = 60) -> float:
        """When Pilot answers that it is ready, by CLOCK_MONOTONIC; asked every few milliseconds."""
        deadline = time.monotonic() + seconds
        address = f"http://{self.stack.pilot()}:{ADMIN_PORT}/readyz"
        with httpx.Client(trust_env=False, timeout=seconds) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(address).is_success:
                        return time.monotonic()
                assert time.monotonic() < deadline, "Pilot is not ready"
                time.sleep(0.01)

    @contextlib.contextmanager
    def away(self, *names: str) -> Iterator[None]:
        """These services stand still: who connects to them is not answered, and nobody starts them again."""
        pids = [self.pid(name) for name in names]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def pilot_after(self, pid: int, seconds: float = 60) -> Spent:
        """The Pilot that follows the one of this pid, as soon as it runs."""
        deadline = time.monotonic() + seconds
        while True:
            if (found := self.pid()) not in (0, pid):
                return Spent(found)
            assert time.monotonic() < deadline, "Pilot was not started again"
            time.sleep(0.05)

    def start_envoys(self, envoys: int, classes: int) -> None:
        """Sidecars without applications, each an agent with an Envoy, until they are ready."""
        lines = [
            f'[[workload]]\nname = "envoy-{number}"\nnamespace = "{namespace_of(number % classes)}"\n'
            for number in range(envoys)
        ]
        path = Path(self._home) / "workloads.toml"
        path.write_text("\n".join(lines))
        self.meshctl("up", "--timeout", "300", "--workloads", str(path))

    def envoys(self) -> list[Spent]:
        """The Envoys of the sidecars."""
        settings = json.loads(Path(self.layout.settings).read_text())
        children = psutil.Process(int(settings["supervisor"])).children(recursive=True)
        return [Spent(child.pid) for child in children if child.name() == "envoy"]

    def rejects(self) -> float:
        """Messages that Pilot was refused so far."""
        page = httpx.get(f"http://{self.stack.pilot()}:{ADMIN_PORT}/metrics", trust_env=False).text
        return sampled(page, "pilot_total_xds_rejects")

    def unsettled(self) -> int:
        """How many proxies have not acknowledged all that they asked Pilot for; -1 while it does not answer."""
        try:
            rows = self.pilot_api.sync_status()
        except MeshError:
            return -1
        return sum(any(kind.get("pending") for kind in row.get("resources", {}).values()) for row in rows)


def sampled(page: str, family: str) -> float:
    """The sum of a family of a page of metrics; LookupError when it is not there, since no sample may mean zero."""
    if f"# TYPE {family} " not in page:
        raise LookupError(f"there is no metric {family}")
    pattern = re.compile(rf"^{re.escape(family)}(?:_total)?(?:{{.*}})? (\S+)", re.MULTILINE)
    return sum(map(float, pattern.findall(page)))


def _kept(copy: Path) -> int:
    """The revision that a copy on disk says in its first line; 0 for none."""
    if not copy.exists():
        return 0
    with copy.open("rb") as file:
        return int(json.loads(file.readline())["revision"])


def _many_files() -> None:
    """As many connections as the machine allows, for all that is started from here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
