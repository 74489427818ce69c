"""`python -m pilot` as users start it, on an address of its own."""

import asyncio
import contextlib
import json
import os
import signal
import sys

import httpx
import psutil
import pytest
from meshcore.http.callers import Role
from meshcore.http.tokens import token_entry
from meshcore.testing.addresses import claim
from meshcore.testing.identity import write_identity

TOKEN = "for-this-test-only"
NOBODY = "nats://127.0.0.1:1"
"""Where no NATS is."""


class PilotProcess:
    """One `python -m pilot` on an address of its own."""

    def __init__(self, address, environment, *arguments):
        self.address = address
        self._environment = environment
        self._arguments = arguments
        self._process = None
        self.api = httpx.AsyncClient(
            base_url=f"http://{address}:15014",
            headers={"authorization": f"Bearer {TOKEN}"},
            trust_env=False,
            timeout=60,
        )

    @property
    def secure(self):
        return f"{self.address}:15012"

    async def start(self):
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pilot", *self._arguments, env={**os.environ, **self._environment}
        )
        await self.wait_ready()

    async def wait_ready(self):
        async with asyncio.timeout(60):
            while not await self._ready():
                assert self._process.returncode is None, "pilot ended"
                await asyncio.sleep(0.05)

    async def _ready(self):
        with contextlib.suppress(httpx.TransportError):
            return (await self.api.get("/readyz")).status_code == 200
        return False

    async def get(self, path, **parameters):
        answer = await self.api.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def figures(self):
        """The samples of the metrics page, by name with labels."""
        lines = (await self.api.get("/metrics")).text.splitlines()
        return {name: float(value) for name, _, value in (one.rpartition(" ") for one in lines if one[:1] != "#")}

    async def end(self, number=signal.SIGTERM):
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            async with asyncio.timeout(60):
                await self._process.wait()

    @contextlib.contextmanager
    def frozen(self):
        """The process itself does nothing meanwhile: it starts no worker in place of one that ends."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def children(self):
        return [child.pid for child in psutil.Process(self._process.pid).children()]


@pytest.fixture
async def process(ca, nats, tmp_path):
    """Starts a Pilot process: `running = await process("pilot-1", "--workers", "2")`."""
    started = []
    block = claim()

    async def start(name="pilot-1", *arguments, **environment):
        address = block.address(len(started) + 1)
        identity = ca.issue("spiffe://cluster.local/ns/istio-system/sa/pilot", ips=[address])
        directory = write_identity(tmp_path / f"{name}-identity", identity)
        entry = token_entry(TOKEN, "tester", {"*": [Role.VIEWER]})
        (directory / "tokens.json").write_text(json.dumps({"tokens": [entry]}))
        running = PilotProcess(
            address,
            {
                "PILOT_INSTANCE": name,
                "PILOT_HOST": address,
                "PILOT_ADMIN_HOST": address,
                "PILOT_NATS_URL": nats.url,
                "PILOT_IDENTITY_DIR": str(directory),
                "PILOT_STATE_DIR": str(tmp_path / f"{name}-state"),
                "PILOT_HEARTBEAT_INTERVAL": "200ms",
                "PILOT_QUERY_DEADLINE": "20s",
                "PILOT_REGISTRATION_GRACE": "500ms",
                "PILOT_REGISTRATION_STABLE_AFTER": "1500ms",
                **environment,
            },
            *arguments,
        )
        started.append(running)
        await running.start()
        return running

    yield start
    for running in started:
        await running.end()
        await running.api.aclose()
    block.release()
