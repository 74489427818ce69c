"""Writes a WorkloadEntry to Galley for each registration, from the one process with the lease. Nothing waits for it:
with Galley away workloads register and are called as always, and the objects follow later."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

import httpx
import structlog
from meshcore.bus.connection import BUS_ERRORS, Bus

from pilot.adapters import telemetry
from pilot.adapters.endpoints_bucket import EndpointsBucket
from pilot.adapters.galley_api import galley_api
from pilot.adapters.hub import Hub
from pilot.adapters.lease import Lease
from pilot.core.workload_entries import Name, ObjectWrite, documents, status_of, untold, writes
from pilot.settings import PilotSettings

LEASE = "pilot-workload-entries"
_PATCH = {"content-type": "application/json-patch+json"}
_log = structlog.get_logger("registration")


class EntryWriter:
    """One look at every heartbeat."""

    def __init__(
        self,
        bus: Bus,
        hub: Hub,
        bucket: EndpointsBucket,
        settings: PilotSettings,
        process: str,
        is_stable: Callable[[], bool],
    ) -> None:
        self._bus = bus
        self._hub = hub
        self._bucket = bucket
        self._settings = settings
        self._is_stable = is_stable
        self._lease = Lease(bus, LEASE, process)
        self._until: dict[Name, int] = {}
        """Objects that were written: what became of them is known from that revision on."""
        self._told: dict[Name, bool] = {}
        """The health that the status of each object says."""

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(self._settings.heartbeat_interval.total_seconds())
            try:
                await self._look()
            except (*BUS_ERRORS, OSError, httpx.HTTPError) as error:
                _log.info("workload entries not written yet", error=type(error).__name__)

    async def _look(self) -> None:
        if not self._bus.is_connected or not await self._lease.hold():
            self._told.clear()
            return
        if self._bucket.in_sync_since is None or not self._hub.has_state.is_set():
            return
        snapshot = self._hub.engine.snapshot
        entries = {entry.key: entry for entry in self._bucket.entries}
        wanted = documents(entries.values(), snapshot.registry.groups)
        self._until = {name: revision for name, revision in self._until.items() if revision > snapshot.revision}
        self._told = {name: healthy for name, healthy in self._told.items() if name in wanted}
        seen = snapshot.configs.get("WorkloadEntry", {})
        due = writes(wanted, seen, self._until, may_delete=self._is_stable())
        health = untold({name: entries[name].healthy for name in wanted}, seen, self._told)
        if not due and not health:
            return
        async with galley_api(self._settings) as client:
            for one in due:
                self._until[one.name] = await self._write(client, one, snapshot.revision)
            for name, healthy in health.items():
                if await self._tell(client, name, healthy=healthy):
                    self._told[name] = healthy

    async def _write(self, client: httpx.AsyncClient, one: ObjectWrite, revision: int) -> int:
        """The revision from which on it shows what became of it; another try makes sense with the next one at least."""
        headers = _PATCH if one.method == "PATCH" else None
        answer = await client.request(one.method, one.path, json=one.body, headers=headers)
        telemetry.ENTRY_WRITES.labels(str(answer.status_code)).inc()
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            answer.raise_for_status()
        namespace, name = one.name
        if answer.is_success:
            _log.info("workload entry written", method=one.method, namespace=namespace, entry=name)
            if one.method != "DELETE":
                return int(answer.json()["metadata"]["resourceVersion"])
        elif answer.status_code not in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
            _log.warning("workload entry refused", namespace=namespace, entry=name, code=answer.status_code)
        return revision + 1

    async def _tell(self, client: httpx.AsyncClient, name: Name, *, healthy: bool) -> bool:
        body = status_of(name, healthy=healthy, now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        answer = await client.put(f"{ObjectWrite('PUT', name).path}/status", json=body)
        telemetry.STATUS_WRITES.labels(str(answer.status_code)).inc()
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            answer.raise_for_status()
        return answer.is_success
