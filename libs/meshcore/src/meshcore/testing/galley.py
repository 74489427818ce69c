"""A real `python -m galley` for tests: on an address of its own, with keys and tokens of its own, killed, stopped and
started at will."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from meshcore.http import Role
from meshcore.http.tokens import token_entry
from meshcore.testing.identity import TestCa, make_ca, write_identity

CONFIG_PORT, ADMIN_PORT, WEBHOOK_PORT = 8081, 15014, 15017
TOKEN = "the-admin-token-of-a-test"
START_DEADLINE = 90.0


class GalleyProcess:
    """One Galley on `address`. `also` are further addresses that its certificate names (of a relay before it)."""

    def __init__(
        self,
        directory: Path,
        address: str,
        *,
        nats_url: str | None = None,
        store_url: str | None = None,
        also: tuple[str, ...] = (),
        settings: Mapping[str, str] | None = None,
        ca: TestCa | None = None,
    ) -> None:
        self.directory = directory
        self.address = address
        self.ca = ca or make_ca()
        self._process: subprocess.Popen[bytes] | None = None
        identity = directory / "identity"
        issued = self.ca.issue("spiffe://cluster.local/ns/istio-system/sa/galley", ips=("127.0.0.1", address, *also))
        write_identity(identity, issued)
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (identity / "token-signing-key.pem").write_bytes(pem)
        tokens = [token_entry(TOKEN, "admin", {"*": [Role.ADMIN]})]
        (identity / "tokens.json").write_text(json.dumps({"tokens": tokens}))
        self.environment = {
            "GALLEY_IDENTITY_DIR": str(identity),
            "GALLEY_STATE_DIR": str(directory / "state"),
            "GALLEY_HOST": address,
            "GALLEY_ADMIN_HOST": address,
            "GALLEY_LOG_FORMAT": "json",
            **({} if nats_url is None else {"GALLEY_NATS_URL": nats_url}),
            **({} if store_url is None else {"GALLEY_STORE_URL": store_url}),
            **(settings or {}),
        }

    @property
    def url(self) -> str:
        """The config API."""
        return f"https://{self.address}:{CONFIG_PORT}"

    @property
    def admin_url(self) -> str:
        """The admin API."""
        return f"http://{self.address}:{ADMIN_PORT}"

    @property
    def webhook_url(self) -> str:
        """The admission webhook."""
        return f"https://{self.address}:{WEBHOOK_PORT}"

    @property
    def log(self) -> Path:
        """What it wrote, over all its lives."""
        return self.directory / "galley.log"

    @property
    def pid(self) -> int:
        """Its process; RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError("galley does not run")
        return self._process.pid

    def client_context(self) -> ssl.SSLContext:
        """TLS of a client that knows this Galley's root."""
        return ssl.create_default_context(cadata=self.ca.root_pem.decode())

    def client(self, *, timeout: float = 60.0) -> httpx.AsyncClient:
        """A client of the config API, as administrator."""
        return httpx.AsyncClient(
            base_url=self.url, verify=self.client_context(), headers=bearer(), timeout=timeout, trust_env=False
        )

    def admin(self, *, timeout: float = 60.0) -> httpx.AsyncClient:
        """A client of the admin API, as administrator."""
        return httpx.AsyncClient(base_url=self.admin_url, headers=bearer(), timeout=timeout, trust_env=False)

    def start(self) -> None:
        """Start; `wait_ready` says when it serves."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "galley"],
                env=os.environ | self.environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )

    def wait_ready(self) -> None:
        """Until the config API answers; RuntimeError with the end of its log if it does not."""
        deadline = time.monotonic() + START_DEADLINE
        # Patient: on a busy machine an attempt that is given up and made again costs what the answer would have.
        with httpx.Client(verify=self.client_context(), trust_env=False, timeout=START_DEADLINE) as client:
            while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(f"{self.url}/version").is_success:
                        return
                threading.Event().wait(0.05)
        self.kill()
        raise RuntimeError(f"galley does not start:\n{self.log.read_text(errors='replace')[-4000:]}")

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal_number)

    def kill(self) -> None:
        """kill -9, at once; safe to call when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def resident_bytes(self) -> int:
        """Its resident memory now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """What its threads have computed until now, for itself and in the kernel (`utime` + `stime` of proc(5))."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_resident_bytes(self) -> int:
        """The most resident memory that it ever had."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the kernel does not tell VmHWM")


def bearer() -> dict[str, str]:
    """The administrator's header."""
    return {"Authorization": f"Bearer {TOKEN}"}


@contextlib.contextmanager
def running(galley: GalleyProcess) -> Iterator[GalleyProcess]:
    """Started and ready; killed at the end."""
    galley.start()
    try:
        galley.wait_ready()
        yield galley
    finally:
        galley.kill()
