"""The control plane on the host's side of the pod network: real NATS, Galley, Citadel and Pilot, as processes.

What pods reach (config of none, certificates, xDS) listens on the bridge's address, over TLS; NATS and the admin
interfaces stay on loopback addresses of their own.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx

STACK = 250
NATS, ADMIN = f"127.{STACK}.255.5", {"galley": f"127.{STACK}.255.1", "citadel": f"127.{STACK}.255.3"}
ADMIN["pilot"] = f"127.{STACK}.255.2"
PLURALS = {
    "Pod": "api/v1/namespaces/{}/pods",
    "Service": "api/v1/namespaces/{}/services",
    "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
    "WorkloadGroup": "apis/networking.istio.io/v1/namespaces/{}/workloadgroups",
    "PeerAuthentication": "apis/security.istio.io/v1/namespaces/{}/peerauthentications",
    "Namespace": "api/v1/namespaces",
    "ConfigMap": "api/v1/namespaces/{}/configmaps",
    "EndpointSlice": "apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    **{
        kind: f"apis/networking.istio.io/v1/namespaces/{{}}/{plural}"
        for kind, plural in {
            "Sidecar": "sidecars",
            "ServiceEntry": "serviceentries",
            "VirtualService": "virtualservices",
            "DestinationRule": "destinationrules",
        }.items()
    },
}

Value = TypeVar("Value")


def wait_until(what: str, look: Callable[[], Value], seconds: float = 60) -> Value:
    """The first true value of `look`; fails naming `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}; last seen: {value!r}"
        threading.Event().wait(0.05)
    return value


class ControlPlane:
    def __init__(self, host: str, directory: Path) -> None:
        self.host, self._directory = host, directory
        self.identities = directory / "identity"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.api: httpx.Client

    def up(self) -> None:
        names = [f"--san={service}={self.host}" for service in ("galley", "pilot", "citadel")]
        subprocess.run(
            [sys.executable, "-m", "citadel", "init", f"--dir={self.identities}", f"--stack={STACK}", *names],
            check=True,
        )
        binary = Path(sys.executable).with_name("nats-server")
        self._start("nats", str(binary), "-c", str(self.identities / "nats" / "nats.conf"))
        self._serve("galley", TOKEN_ISSUER=f"https://{self.host}:8081")
        self._serve("citadel", TOKEN_ISSUER=f"https://{self.host}:8081")
        self._serve("pilot", PLAINTEXT_PORT="-1")
        trust = ssl.create_default_context(cafile=str(self.identities / "root-cert.pem"))
        token = (self.identities / "admin-token").read_text()
        self.api = httpx.Client(
            base_url=f"https://{self.host}:8081",
            verify=trust,
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
        )
        for service, address in ADMIN.items():
            wait_until(
                f"{service} is ready ({self.log(service)[-2000:]})",
                lambda url=f"http://{address}:15014/readyz": ready(url),
            )

    def apply(self, *objects: dict) -> None:
        for document in objects:
            namespace = document["metadata"].get("namespace", "")
            if document["kind"] != "Namespace":
                namespace = document["metadata"].setdefault("namespace", "default")
            answer = self.api.post("/" + PLURALS[document["kind"]].format(namespace), json=document)
            assert answer.status_code in (201, 409), answer.text

    @contextmanager
    def applied(self, *documents: dict) -> Iterator[None]:
        """These objects are there meanwhile."""
        self.apply(*documents)
        try:
            yield
        finally:
            for document in reversed(documents):
                self.delete(document)

    @contextmanager
    def configured(self, **mesh: object) -> Iterator[None]:
        """MeshConfig has these fields meanwhile."""
        url = "/api/v1/namespaces/istio-system/configmaps/istio"
        before = self.api.get(url).json()["data"]["mesh"]

        def put(text: str) -> None:
            current = self.api.get(url).json()
            answer = self.api.put(url, json={**current, "data": {"mesh": text}})
            assert answer.status_code == 200, answer.text

        put(json.dumps({**json.loads(before), **mesh}))
        try:
            yield
        finally:
            put(before)

    def delete(self, document: dict) -> None:
        assert self.api.delete(self._path(document)).status_code == 200

    def is_everywhere(self, document: dict) -> bool:
        """Whether every proxy that the object as it is now concerns has acknowledged what follows from it."""
        revision = self.api.get(self._path(document)).json()["metadata"]["resourceVersion"]
        url = f"http://{ADMIN['pilot']}:15014/api/v1/changes/{revision}/receipt"
        return bool(httpx.get(url, headers=self.api.headers, params={"wait": 5}, timeout=10).json().get("complete"))

    @staticmethod
    def _path(document: dict) -> str:
        path = PLURALS[document["kind"]].format(document["metadata"].get("namespace", ""))
        return f"/{path}/{document['metadata']['name']}"

    def token(self, account: str) -> str:
        body = {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "spec": {"audiences": ["istio-ca"], "expirationSeconds": 3600},
        }
        answer = self.api.post(f"/api/v1/namespaces/default/serviceaccounts/{account}/token", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["status"]["token"])

    def log(self, name: str) -> str:
        path = self._directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def run(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        """Keep a process of the test running until `down`."""
        self._start(name, *command, environment=environment)

    def down(self) -> None:
        """Stop everything, what was started last first: agents take their workloads out while Pilot is there."""
        if hasattr(self, "api"):
            self.api.close()
        for process in reversed(self._processes.values()):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _serve(self, service: str, **settings: str) -> None:
        common = {
            "HOST": self.host,
            "ADMIN_HOST": ADMIN[service],
            "NATS_URL": f"nats://{NATS}:4222",
            "IDENTITY_DIR": str(self.identities / service),
            "STATE_DIR": str(self._directory / f"state-{service}"),
            "CITADEL_ADDRESS": f"{self.host}:8060",
            "LOG_FORMAT": "json",
        }
        environment = {f"{service.upper()}_{name}": value for name, value in (common | settings).items()}
        self._start(service, sys.executable, "-m", service, environment=environment)

    def _start(self, name: str, *command: str, environment: dict[str, str] | None = None) -> None:
        with (self._directory / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
            )


def ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
