"""Pods with an unchanged application, captured, and the control plane on the host."""

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
from pods import PROXY, Pod, PodNetwork
from scratch import Scratch

VIP, VIP6 = "10.96.77.10", "fd96:77::10"
UNCAPTURED_OUTBOUND = 9200
CAPTURE = ("--dual-stack", "--redirect-dns", "-o", str(UNCAPTURED_OUTBOUND))
"""What every pod's capture has."""
MESH = {"defaultConfig": {"proxyMetadata": {"ISTIO_DUAL_STACK": "true"}}}


def lacking() -> str:
    if os.geteuid() != 0:
        return "root, for network namespaces and iptables"
    missing = [name for name in ("ip", "iptables", "ip6tables", "curl", "setpriv") if shutil.which(name) is None]
    return ", ".join(missing)


class CapturedMesh:
    """`client` calls `echo`; both are captured by REDIRECT, `keeper` by TPROXY, all in both families; `six` (its proxy
    knows IPv6 only) by REDIRECT. The host is outside the mesh."""

    def __init__(self, directory: Path) -> None:
        self.network = PodNetwork()
        self._directory = directory
        self.control = ControlPlane(self.network.host, directory)
        self.client: Pod
        self.echo: Pod
        self.keeper: Pod
        self.six: Pod

    @property
    def pods(self) -> tuple[Pod, ...]:
        return self.client, self.echo, self.keeper, self.six

    def up(self) -> None:
        self.network.up()
        self.client, self.echo, self.keeper, self.six = map(self.network.add, ("client", "echo", "keeper", "six"))
        self.control.up()
        self.control.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}},
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "istio", "namespace": "istio-system"},
                "data": {"mesh": json.dumps(MESH)},
            },
            *(account(pod.name) for pod in self.pods),
            *(group(pod.name) for pod in self.pods),
            *(
                service(
                    name,
                    {"name": "http", "port": 80, "targetPort": 8080},
                    {"name": "tcp", "port": 9000, "targetPort": 9000},
                    {"name": "any", "port": 7000, "targetPort": 8081},
                    {"name": "db", "port": 3306, "targetPort": 9000},
                    clusterIP=vip,
                    clusterIPs=[vip, vip6],
                    ipFamilies=["IPv4", "IPv6"],
                    selector={"app": name},
                )
                for name, vip, vip6 in (
                    ("echo", VIP, VIP6),
                    ("keeper", "10.96.77.11", "fd96:77::11"),
                    ("six", "10.96.77.12", "fd96:77::12"),
                )
            ),
        )
        server = str(Path(__file__).with_name("echo_server.py"))
        for pod in self.pods:
            self.control.run(f"{pod.name}-app", pod.inside(sys.executable, server, pod.name))
            self._capture(pod)
            self._start_agent(pod)
        for pod in self.pods:
            wait_until(f"{pod.name}'s proxy is ready", lambda pod=pod: self._is_ready(pod), 60)

    def _capture(self, pod: Pod) -> None:
        mode = "TPROXY" if pod is self.keeper else "REDIRECT"
        pod.capture("-m", mode, *CAPTURE, "--run-validation")

    def _is_ready(self, pod: Pod) -> bool:
        address = f"[{pod.address6}]" if pod is self.six else pod.address
        return pod.curl(f"http://{address}:15021/healthz/ready").stdout.endswith("200")

    def _start_agent(self, pod: Pod) -> None:
        state = self._directory / pod.name
        state.mkdir(mode=0o700)
        (state / "token").write_text(self.control.token(pod.name))
        shutil.copy(self.control.identities / "root-cert.pem", state)
        user = 0 if pod is self.keeper else PROXY
        for path in (state, *state.iterdir()):
            os.chown(path, user, PROXY)
        addresses = pod.address6 if pod is self.six else f"{pod.address},{pod.address6}"
        environment = {
            "POD_NAME": pod.name,
            "POD_NAMESPACE": "default",
            "SERVICE_ACCOUNT": pod.name,
            "INSTANCE_IPS": addresses,
            "CA_ADDR": f"{self.network.host}:8060",
            "PILOT_ADDR": f"{self.network.host}:15012",
            "CA_ROOT_CERT": str(state / "root-cert.pem"),
            "TOKEN_PATH": str(state / "token"),
            "STATE_DIR": str(state / "s"),
            "MINIMUM_DRAIN_DURATION": "0s",
            "ISTIO_META_INTERCEPTION_MODE": "TPROXY" if pod is self.keeper else "REDIRECT",
            "ISTIO_META_AUTO_REGISTER_GROUP": pod.name,
            "ISTIO_META_DNS_CAPTURE": "true",
            "ISTIO_METAJSON_LABELS": json.dumps({"app": pod.name}),
            "HOME": str(state),
        }
        command = pod.as_proxy(sys.executable, "-m", "envoy_bootstrap", "proxy", "sidecar", user=user)
        self.control.run(f"{pod.name}-agent", command, environment)

    def down(self) -> None:
        self.control.down()
        self.network.down()


def account(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def service(name: str, *ports: dict, **spec: object) -> dict:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": list(ports), **spec}}


def istio(kind: str, name: str, **spec: object) -> dict:
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def group(name: str) -> dict:
    labels = {"app": name, "tier": "front" if name == "client" else "back"}
    return istio("WorkloadGroup", name, metadata={"labels": labels}, template={"serviceAccount": name})


CLOSED = istio(
    "Sidecar",
    "closed",
    workloadSelector={"labels": {"app": "client"}},
    outboundTrafficPolicy={"mode": "REGISTRY_ONLY"},
)
"""Nothing leaves the client that no registry knows."""


def strict(**selected: str) -> dict:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "strict", "namespace": "default"},
        "spec": {"mtls": {"mode": "STRICT"}, **({"selector": {"matchLabels": selected}} if selected else {})},
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


@pytest.fixture
def scratch(request) -> Iterator[Scratch]:
    """A namespace where nft is iptables' kind; a test may ask for legacy by a parameter."""
    made = Scratch(getattr(request, "param", "nft"))
    try:
        made.up()
        yield made
    finally:
        made.down()
