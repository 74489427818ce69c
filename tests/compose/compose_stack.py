"""A compose stack of its own project, subnet and image tag, driven as somebody at a shell would."""

import json
import os
import shutil
import ssl
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
CONFIG_API = "https://127.0.0.1:8081"
ADMIN_PORTS = {"galley": 15014, "pilot": 15015, "citadel": 15016, "injector": 15017}
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
