"""The stack that the demo runs on, and how it finds its way around in it."""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshcore.errors import MeshError

from meshctl.adapters.config_api import Applied, ConfigApi, open_config_api
from meshctl.adapters.pilot_api import PilotApi
from meshctl.adapters.stack_client import bring_up, stack_status, take_down
from meshctl.adapters.traffic import MeshConnection, Reply
from meshctl.core.plan import StackSettings
from meshctl.core.receipts import Convergence, read_receipt
from meshctl.core.topology import ADMIN_PORT, CONFIG_API_PORT, PROXY_HTTP_PORT

READY_TIMEOUT = 90.0
RECEIPT_WAIT = 20.0
POLL = 0.02
SHOP_URL = "http://front:9080/"
GATEWAY_PORT = 8080


class DemoStack:
    """A stack with the bookshop; `root` is a temporary state root that goes away with it, or None."""

    def __init__(self, settings: StackSettings, workloads: str, temporary: Path | None) -> None:
        self.settings = settings
        self._workloads = workloads
        self._temporary = temporary
        self.directory = Path(workloads).parent
        self._status: dict[str, Any] = {}

    async def start(self) -> tuple[dict[str, Any], float, Reply]:
        """Brings it up; the status, and how many seconds after the start the first 200 came through two sidecars."""
        began = time.monotonic()
        starting = asyncio.ensure_future(
            asyncio.to_thread(bring_up, self.settings, restart=True, timeout=READY_TIMEOUT, workloads=self._workloads)
        )
        first = asyncio.ensure_future(self._first_answer())
        try:
            self._status = await starting
            reply = await asyncio.wait_for(first, READY_TIMEOUT)
        finally:
            first.cancel()
        return self._status, reply[0] - began, reply[1]

    async def _first_answer(self) -> tuple[float, Reply]:
        """The first 200 of the shop with a caller's identity in it, asked for until it comes."""
        while True:
            status = await asyncio.to_thread(stack_status, self.settings.layout)
            proxies = [item["http_proxy"] for item in status["workloads"] if item["name"] == "shopper"]
            if proxies:
                break
            await asyncio.sleep(POLL * 5)
        connection = MeshConnection(proxies[0])
        try:
            while True:
                reply = await connection.get(SHOP_URL)
                if reply.good and str(reply.body.get("caller", "")).startswith("spiffe://"):
                    return time.monotonic(), reply
                await asyncio.sleep(POLL)
        finally:
            connection.close()

    def workload(self, name: str) -> dict[str, Any]:
        """One workload's entry of the status."""
        return next(item for item in self._status["workloads"] if item["name"] == name)

    @property
    def shopper_proxy(self) -> str:
        """The mesh HTTP proxy of the customer."""
        return f"http://{self.workload('shopper')['address']}:{PROXY_HTTP_PORT}"

    @property
    def gateway_url(self) -> str:
        """The shop for those outside of the mesh."""
        return f"http://{self.workload('ingress')['address']}:{GATEWAY_PORT}/"

    async def outside_answer(self) -> Reply:
        """The first 200 at the gateway."""
        connection = MeshConnection(self.gateway_url)
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                while True:
                    reply = await connection.get("http://bookshop.example/")
                    if reply.good:
                        return reply
                    await asyncio.sleep(POLL)
        finally:
            connection.close()

    @property
    def token(self) -> str:
        """The administrator's token."""
        return Path(self.settings.layout.admin_token).read_text().strip()

    def config_api(self) -> ConfigApi:
        """Galley's config API."""
        layout = self.settings.layout
        url = f"https://{self.settings.stack.galley}:{CONFIG_API_PORT}"
        return open_config_api(url, layout.root_certificate, layout.admin_token)

    def pilot_api(self) -> PilotApi:
        """Pilot's admin REST."""
        return PilotApi(f"http://{self.settings.stack.pilot()}:{ADMIN_PORT}", self.token)

    async def stop(self) -> None:
        """Takes the stack down and removes its temporary files."""
        await asyncio.to_thread(take_down, self.settings.layout)
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._temporary, True)


class Changes:
    """Applies documents and waits for their receipts."""

    def __init__(self, config: ConfigApi, pilot: PilotApi) -> None:
        self._config, self._pilot = config, pilot

    async def apply(self, document: Mapping[str, Any]) -> tuple[Applied, Convergence]:
        """What was written, and its receipt once every proxy has acknowledged it (or after RECEIPT_WAIT seconds)."""
        return await asyncio.to_thread(self._apply, document)

    def _apply(self, document: Mapping[str, Any]) -> tuple[Applied, Convergence]:
        applied = self._config.apply(document)
        return applied, wait_for_receipt(self._pilot, applied.revision)


def wait_for_receipt(pilot: PilotApi, revision: int, wait: float = RECEIPT_WAIT) -> Convergence:
    """The receipt of a revision; one that Pilot has not seen yet is asked for again until `wait` seconds have gone."""
    deadline = time.monotonic() + wait
    while True:
        left = deadline - time.monotonic()
        try:
            return read_receipt(pilot.receipt(revision, max(0.0, min(60.0, left))))
        except MeshError:
            if left <= 0:
                raise
            time.sleep(POLL)


def temporary_state_root() -> Path:
    """A short, private place for a stack that leaves nothing behind."""
    return Path(tempfile.mkdtemp(prefix="meshcore-"))
