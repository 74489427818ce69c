"""Two pods with an unchanged application, captured, and the control plane on the host."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from control_plane import ControlPlane, wait_until
from pods import PROXY, Pod, PodNetwork, run
from rules import redirect_rules

VIP = "10.96.77.10"


def lacking() -> str:
    if os.geteuid() != 0:
        return "root, for network namespaces and iptables"
    missing = [name for name in ("ip", "iptables", "curl", "setpriv") if shutil.which(name) is None]
    return ", ".join(missing)


class CapturedMesh:
    """`client` calls `echo`; both are captured. The host (`plain`) is outside the mesh."""

    def __init__(self, directory: Path) -> None:
        self._network = PodNetwork()
        self._directory = directory
        self.control = ControlPlane(self._network.host, directory)
        self.client: Pod
        self.echo: Pod

    def up(self) -> None:
        self._network.up()
        self.client, self.echo = self._network.add("client"), self._network.add("echo")
        self.control.up()
        self.control.apply(
            *(account(name) for name in ("client", "echo")),
            *(group(name) for name in ("client", "echo")),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "echo"},
                "spec": {
                    "clusterIP": VIP,
                    "selector": {"app": "echo"},
                    "ports": [
                        {"name": "http", "port": 80, "targetPort": 8080},
                        {"name": "tcp", "port": 9000, "targetPort": 9000},
                        {"name": "any", "port": 7000, "targetPort": 8081},
                    ],
                },
            },
        )
        server = str(Path(__file__).with_name("echo_server.py"))
        self.control.run("echo-app", self.echo.inside(sys.executable, server))
        for pod in (self.client, self.echo):
            run(*pod.inside("iptables-restore", "--noflush"), stdin=redirect_rules())
            self._start_agent(pod)
        for pod in (self.client, self.echo):
            wait_until(f"{pod.name}'s proxy is ready", lambda pod=pod: self._is_ready(pod), 60)

    def _is_ready(self, pod: Pod) -> bool:
        return pod.curl(f"http://{pod.address}:15021/healthz/ready").stdout.endswith("200")

    def _start_agent(self, pod: Pod) -> None:
        state = self._directory / pod.name
        state.mkdir(mode=0o700)
        (state / "token").write_text(self.control.token(pod.name))
        shutil.copy(self.control.identities / "root-cert.pem", state)
        for path in (state, *state.iterdir()):
            os.chown(path, PROXY, PROXY)
        environment = {
            "POD_NAME": pod.name,
            "POD_NAMESPACE": "default",
            "SERVICE_ACCOUNT": pod.name,
            "INSTANCE_IP": pod.address,
            "CA_ADDR": f"{self._network.host}:8060",
            "PILOT_ADDR": f"{self._network.host}:15012",
            "CA_ROOT_CERT": str(state / "root-cert.pem"),
            "TOKEN_PATH": str(state / "token"),
            "STATE_DIR": str(state / "s"),
            "MINIMUM_DRAIN_DURATION": "0s",
            "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
            "ISTIO_META_AUTO_REGISTER_GROUP": pod.name,
            "ISTIO_METAJSON_LABELS": json.dumps({"app": pod.name}),
            "HOME": str(state),
        }
        self.control.run(
            f"{pod.name}-agent", pod.as_proxy(sys.executable, "-m", "envoy_bootstrap", "proxy", "sidecar"), environment
        )

    def down(self) -> None:
        self.control.down()
        self._network.down()


def account(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def group(name: str) -> dict:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadGroup",
        "metadata": {"name": name},
        "spec": {"metadata": {"labels": {"app": name}}, "template": {"serviceAccount": name}},
    }


@pytest.fixture(scope="session")
def mesh() -> Iterator[CapturedMesh]:
    if missing := lacking():
        pytest.exit(f"make test-capture needs {missing}", returncode=1)
    # short, since Unix sockets lie below; open, since the proxy is another user
    directory = Path(tempfile.mkdtemp(prefix="mc-"))
    directory.chmod(0o755)
    mesh = CapturedMesh(directory)
    try:
        mesh.up()
        yield mesh
    except BaseException:
        for log in sorted(directory.glob("*.log")):
            sys.stderr.write(f"---- {log.name}\n{log.read_text(errors='replace')[-3000:]}\n")
        raise
    finally:
        mesh.down()
        shutil.rmtree(directory, ignore_errors=True)
