"""A real kube-apiserver with its etcd: the ones on the PATH, on addresses of their own, killed and started at will."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from pathlib import Path

import httpx
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from meshcore.testing.identity import TestCa, make_ca
from meshcore.tls.identity import CHAIN_FILE, KEY_FILE, ROOT_FILE, save_identity

PORT = 6443
TOKEN = "the-admin-token-of-a-test"
CITADEL_TOKEN = "the-token-of-citadel-in-a-test"
_START_WITHIN = 300.0


class ApiServer:
    """One server on `address`, its etcd on `store`."""

    def __init__(self, directory: Path, address: str, store: str) -> None:
        self.directory, self.address = directory, address
        self.ca: TestCa = make_ca("a test's Kubernetes")
        self.url = f"https://{address}:{PORT}"
        self._store = store
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        save_identity(directory, self.ca.issue(None, ips=("127.0.0.1", address)))
        (directory / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n{CITADEL_TOKEN},citadel,citadel\n")
        signing = rsa.generate_private_key(65537, 2048)
        pem = signing.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        (directory / "accounts.key").write_bytes(pem)

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig of an administrator."""
        return self.kubeconfig_of(TOKEN, self.directory / "kubeconfig")

    def kubeconfig_of(self, token: str, path: Path) -> Path:
        """A kubeconfig of whoever has this token."""
        cluster = {"server": self.url, "certificate-authority": str(self.directory / ROOT_FILE)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def client(self) -> httpx.Client:
        """A client of an administrator."""
        context = ssl.create_default_context(cadata=self.ca.root_pem.decode())
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=self.url, verify=context, headers=headers, timeout=30, trust_env=False)

    def start(self) -> None:
        """Start what does not run and wait until it is ready."""
        clients, peers = f"http://{self._store}:2379", f"http://{self._store}:2380"
        if self._etcd is None:
            self._etcd = self._run(
                "etcd",
                f"--data-dir={self.directory / 'etcd'}",
                f"--listen-client-urls={clients}",
                f"--advertise-client-urls={clients}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}",
            )
        self._server = self._run(
            "kube-apiserver",
            f"--etcd-servers={clients}",
            f"--bind-address={self.address}",
            f"--secure-port={PORT}",
            f"--tls-cert-file={self.directory / CHAIN_FILE}",
            f"--tls-private-key-file={self.directory / KEY_FILE}",
            f"--cert-dir={self.directory / 'certs'}",
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self.directory / 'accounts.key'}",
            f"--service-account-key-file={self.directory / 'accounts.key'}",
            "--disable-admission-plugins=ServiceAccount",
        )
        self._wait_ready(self._server)

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_WITHIN
        with self.client() as client:
            while time.monotonic() < deadline and process.poll() is None:
                try:
                    if client.get("/readyz").text == "ok":
                        return
                except httpx.TransportError:
                    pass
                time.sleep(0.1)
        raise RuntimeError(
            f"kube-apiserver does not start:\n{(self.directory / 'kube-apiserver.log').read_text()[-4000:]}"
        )

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        path = shutil.which(program)
        if path is None:
            raise RuntimeError(f"{program} is not on the PATH")
        with (self.directory / f"{program}.log").open("ab") as log:
            return subprocess.Popen([path, *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def kill_server(self) -> None:
        """kill -9 of the API server; its etcd stays."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def stop(self) -> None:
        """End both."""
        self.kill_server()
        if self._etcd is not None:
            self._etcd.kill()
            self._etcd.wait()
            self._etcd = None
