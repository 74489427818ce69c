"""The kubeconfig of a stack that runs in docker compose: CA and token are copied out of Galley's container."""

import base64
import json
import subprocess

from meshcore.errors import ErrorCode, MeshError

from meshctl.adapters.processes import write_private
from meshctl.adapters.stack_files import state_root
from meshctl.core.mesh_objects import kubeconfig

SERVER = "https://127.0.0.1:8081"
CA_IN_CONTAINER = "/var/lib/meshcore/identity/public/root-cert.pem"
TOKEN_IN_CONTAINER = "/var/lib/meshcore/identity/admin-token"
DOCKER_TIMEOUT = 30


def compose_kubeconfig(project: str | None) -> str:
    """Writes the kubeconfig (0600) of the one running project, or of the named one, and returns its path."""
    found = _galley_containers(project)
    if not found:
        what = f"compose project {project!r}" if project else "compose project"
        raise MeshError(ErrorCode.NOT_FOUND, f"no running Galley in any {what}")
    if len(found) > 1:
        names = ", ".join(sorted(found))
        raise MeshError(ErrorCode.FAILED_PRECONDITION, f"several compose projects run: {names}; name one")
    name, container = next(iter(found.items()))
    ca = base64.b64encode(_read(container, CA_IN_CONTAINER)).decode()
    token = _read(container, TOKEN_IN_CONTAINER).decode().strip()
    path = state_root() / f"compose-{name}" / "kubeconfig"
    write_private(path, json.dumps(kubeconfig(SERVER, ca, token, f"meshcore-{name}"), indent=2) + "\n")
    return str(path)


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
