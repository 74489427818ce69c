"""A compose stack of its own project, subnet and image tag, driven as somebody at a shell would."""

import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
CONFIG_API = "https://127.0.0.1:8081"
ADMIN_PORTS = {"galley": 15014, "pilot": 15015, "citadel": 15016, "injector": 15017}
PUBLISHED = {
    8080: "8080/tcp",
    8081: "8081/tcp",
    8443: "8443/tcp",
    **dict.fromkeys((15014, 15015, 15016, 15017), "15014/tcp"),
}
SERVICES = ("galley", "pilot", "citadel", "injector")
WORKLOADS = ("front", "details", "reviews-v1", "reviews-v2", "reviews-v3", "ratings", "shopper")
SHOP = "http://127.0.0.1:8080/"
IDENTITY = "/var/lib/meshcore/identity"


def lacking() -> str:
    """What this machine lacks for these tests, in words; empty when nothing."""
    for program, purpose in (("docker", "the command of a Docker engine"), ("kubectl", "any version from 1.20")):
        if shutil.which(program) is None:
            return f"{program} ({purpose})"
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        return "a Docker engine that answers (docker version)"
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        return "docker compose 2 (docker compose version)"
    return ""


class Compose:
    """The stack under test, as somebody at a shell on this machine sees it."""

    def __init__(self, home: Path) -> None:
        self.project = f"meshcore-test-{os.getpid()}"
        self.home = home
        self.first_answer = 0
        """What the first request through the ingress gateway was answered, at once after `up`."""
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "MESHCORE_SUBNET": "172.30.82.0/24",
            "MESHCORE_TAG": "test",
            "XDG_STATE_HOME": str(home),
            "HOME": str(home),
            # the engine's command finds its plug-ins in the user's own folder
            "DOCKER_CONFIG": os.environ.get("DOCKER_CONFIG", str(Path.home() / ".docker")),
        }

    def run(self, *command: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done

    def compose(self, *arguments: str, check: bool = True) -> str:
        return self.run("docker", "compose", *arguments, check=check).stdout

    def containers(self) -> dict[str, dict]:
        """`docker inspect` of every container, by service."""
        ids = self.compose("ps", "-a", "-q").split()
        found = json.loads(self.run("docker", "inspect", *ids).stdout)
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def in_container(self, service: str, script: str, *arguments: str) -> str:
        """Run Python inside a container of the stack."""
        return self.compose("exec", "-T", service, "python", "-c", script, *arguments)

    @cached_property
    def root(self) -> str:
        """The mesh root; it survives every restart."""
        return self.compose("exec", "-T", "galley", "cat", f"{IDENTITY}/root-cert.pem")

    @cached_property
    def token(self) -> str:
        """The administrator's token; it survives every restart."""
        return self.compose("exec", "-T", "galley", "cat", f"{IDENTITY}/admin-token").strip()

    @cached_property
    def known_kubeconfig(self) -> str:
        """The kubeconfig of the first call."""
        return self.kubeconfig()

    def kubeconfig(self) -> str:
        """Made anew from the running stack."""
        return self.run(sys.executable, "-m", "meshctl", "kubeconfig", "--compose", self.project).stdout.strip()

    def kubectl(self, *arguments: str, check: bool = True, stdin: str | None = None, kubeconfig: str | None = None):
        cache = ["--cache-dir", str(self.home / "kube-cache")]
        path = kubeconfig or self.known_kubeconfig
        return self.run("kubectl", "--kubeconfig", path, *cache, *arguments, check=check, stdin=stdin)

    def admin(self, service: str, *, token: bool = True) -> httpx.Client:
        """A client of a service's admin API on its published port."""
        return httpx.Client(
            base_url=f"https://127.0.0.1:{ADMIN_PORTS[service]}",
            verify=ssl.create_default_context(cadata=self.root),
            headers={"Authorization": f"Bearer {self.token}"} if token else {},
            timeout=70,
        )

    def apply_and_wait(self, path: Path, kind: str, name: str) -> None:
        """Apply a file with one object, and wait until every proxy has it."""
        self.kubectl("apply", "-f", str(path))
        written = json.loads(self.kubectl("get", kind, name, "-o", "json").stdout)
        self.wait_for(written["metadata"]["resourceVersion"])

    def wait_for_current(self) -> None:
        """Until every proxy has what Galley has now: a later change that all have is the proof."""
        self.touch_config()
        written = json.loads(self.kubectl("get", "virtualservice", "details", "-o", "json").stdout)
        self.wait_for(written["metadata"]["resourceVersion"])

    def wait_for(self, revision: str) -> None:
        """Until every proxy has the revision."""
        with self.admin("pilot") as pilot:
            receipt = pilot.get(f"/api/v1/changes/{revision}/receipt", params={"wait": 30})
        assert receipt.status_code == 200, receipt.text
        assert receipt.json()["complete"], receipt.text

    def touch_config(self) -> None:
        """A change that every sidecar is sent."""
        spec = {"hosts": ["details"], "http": [{"timeout": f"{time.time_ns() % 1000 + 9000}ms"}]}
        spec["http"][0]["route"] = [{"destination": {"host": "details"}}]
        metadata = {"name": "details", "namespace": "default"}
        body = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(body))

    @contextmanager
    def shoppers(self) -> Iterator[list[int]]:
        """Requests through the ingress gateway, one after the other by two callers; their statuses, 0 for none."""
        answers: list[int] = []
        stop = threading.Event()

        def shop() -> None:
            with httpx.Client() as client:
                while not stop.is_set():
                    try:
                        answers.append(client.get(SHOP, timeout=15).status_code)
                    except httpx.HTTPError:
                        answers.append(0)
                    stop.wait(0.02)

        callers = [threading.Thread(target=shop) for _ in range(2)]
        for caller in callers:
            caller.start()
        try:
            yield answers
        finally:
            stop.set()
            for caller in callers:
                caller.join()

    def leftovers(self) -> dict[str, list[str]]:
        """What the engine still has of this project."""
        label = f"label=com.docker.compose.project={self.project}"
        commands = {
            "containers": ("ps", "-a", "-q"),
            "volumes": ("volume", "ls", "-q"),
            "networks": ("network", "ls", "-q"),
        }
        return {
            kind: self.run("docker", *command, "--filter", label).stdout.split() for kind, command in commands.items()
        }
