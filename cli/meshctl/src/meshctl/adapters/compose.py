"""A stack that runs in docker compose: its kubeconfig, and where its services are asked. CA and token are copied out of
Galley's container."""

import base64
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.processes import write_private
from meshctl.adapters.stack_files import state_root
from meshctl.core.mesh_objects import kubeconfig

SERVER = "https://127.0.0.1:8081"
CA_IN_CONTAINER = "/var/lib/meshcore/identity/public/root-cert.pem"
TOKEN_IN_CONTAINER = "/var/lib/meshcore/identity/admin-token"
ADMIN_IN_CONTAINER = "15014/tcp"
SERVICES = ("galley", "citadel", "pilot", "injector")
DOCKER_TIMEOUT = 30


def compose_kubeconfig(project: str | None) -> str:
    """Writes the kubeconfig (0600) of the one running project, or of the named one, and returns its path."""
    name, container = _one_galley(project)
    ca = base64.b64encode(_read(container, CA_IN_CONTAINER)).decode()
    token = _read(container, TOKEN_IN_CONTAINER).decode().strip()
    path = state_root() / f"compose-{name}" / "kubeconfig"
    write_private(path, json.dumps(kubeconfig(SERVER, ca, token, f"meshcore-{name}"), indent=2) + "\n")
    return str(path)


@dataclass(frozen=True, slots=True)
class ComposedServices:
    """The control plane of a compose project: URLs of admin APIs by service, empty where no container runs."""

    project: str
    services: Mapping[str, str]
    token: str
    root: str


def compose_control_plane(project: str | None) -> ComposedServices:
    """Where the services of the one running project, or of the named one, are asked, and as whom."""
    name, galley = _one_galley(project)
    label = f"label=com.docker.compose.project={name}"
    form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
    rows = [line.split() for line in _docker("ps", "--filter", label, "--format", form).decode().splitlines()]
    containers: dict[str, list[str]] = {}
    for service, container in rows:
        containers.setdefault(service, []).append(container)
    services: dict[str, str] = {}
    for service in SERVICES:
        for index, container in enumerate(sorted(containers.get(service, [""])), 1):
            services[service if index == 1 else f"{service}-{index}"] = _admin_url(container) if container else ""
    token, root = _read(galley, TOKEN_IN_CONTAINER).decode().strip(), _read(galley, CA_IN_CONTAINER).decode()
    return ComposedServices(name, services, token, root)


def _admin_url(container: str) -> str:
    """Where the admin port of a container is published on this machine; FAILED_PRECONDITION when it is not."""
    published = published_address(_docker("port", container, ADMIN_IN_CONTAINER).decode())
    if not published:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"container {container} does not publish {ADMIN_IN_CONTAINER}")
    return f"https://{published}"


def published_address(text: str) -> str:
    """The first address of `docker port`'s lines, as a client calls it; a wildcard is this machine."""
    host, colon, port = text.partition("\n")[0].strip().rpartition(":")
    return f"{'127.0.0.1' if host in ('0.0.0.0', '[::]') else host}:{port}" if colon else ""


def _one_galley(project: str | None) -> tuple[str, str]:
    """The project and its Galley's container."""
    found = _galley_containers(project)
    if not found:
        what = f"compose project {project!r}" if project else "compose project"
        raise MeshError(ErrorCode.NOT_FOUND, f"no running Galley in any {what}")
    if len(found) > 1:
        names = ", ".join(sorted(found))
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"several compose projects run: {names}; name one")
    return next(iter(found.items()))


def _galley_containers(project: str | None) -> dict[str, str]:
    """Running Galley containers by compose project."""
    filters = ["--filter", "label=com.docker.compose.service=galley"]
    filters += ["--filter", f"label=com.docker.compose.project={project}"] if project else []
    form = '{{.Label "com.docker.compose.project"}} {{.ID}} {{.Label "com.meshcore.service"}}'
    lines = _docker("ps", *filters, "--format", form).decode().splitlines()
    rows = [line.split() for line in lines]
    return {row[0]: row[1] for row in rows if len(row) > 2 or project}


def _read(container: str, path: str) -> bytes:
    return _docker("exec", container, "cat", path)


def _docker(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, check=False, timeout=DOCKER_TIMEOUT)
    except FileNotFoundError:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "docker is not installed") from None
    except subprocess.TimeoutExpired:
        raise MeshError(ErrorCode.DEADLINE_EXCEEDED, "docker does not answer") from None
    if done.returncode != 0:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"docker: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout
