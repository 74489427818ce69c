"""Writes a WorkloadEntry to Galley for each registration, from the one process with the lease. Nothing waits for it:
with Galley away workloads register and are called as always, and the objects follow later."""

from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

import httpx
import structlog
from meshcore.bus.connection import Bus

from pilot.adapters import telemetry
from pilot.adapters.endpoints_bucket import EndpointsBucket
from pilot.adapters.galley_api import galley_api, is_final
from pilot.adapters.hub import Hub
from pilot.adapters.lease import Lease, while_leased
from pilot.core.workload_entries import Documents, Name, ObjectWrite, status_of, untold, writes
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
        self._documents = Documents()
        self._until: dict[Name, int] = {}
        """Objects that were written: what became of them is known from that revision on."""
        self._told: dict[Name, bool] = {}
        """The health that the status of each object says."""

    async def run(self) -> None:
        """Look again and again, for ever."""
        every = self._settings.heartbeat_interval.total_seconds()
        await while_leased(self._bus, self._lease, every, self._look, self._told.clear)

    async def _look(self) -> None:
        if self._bucket.in_sync_since is None or not self._hub.has_state.is_set():
            return
        snapshot = self._hub.engine.snapshot
        entries = {entry.key: entry for entry in self._bucket.entries}
        wanted = self._documents.of(entries.values(), snapshot.registry.groups)
        self._until = {name: revision for name, revision in self._until.items() if revision > snapshot.revision}
        for name in self._told.keys() - wanted.keys():
            del self._told[name]
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
        namespace, name = one.name
        if not is_final(answer) and answer.status_code != HTTPStatus.CONFLICT:
            _log.warning("workload entry refused", namespace=namespace, entry=name, code=answer.status_code)
        if answer.is_success:
            _log.info("workload entry written", method=one.method, namespace=namespace, entry=name)
            if one.method != "DELETE":
                return int(answer.json()["metadata"]["resourceVersion"])
        return revision + 1

    async def _tell(self, client: httpx.AsyncClient, name: Name, *, healthy: bool) -> bool:
        body = status_of(name, healthy=healthy, now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        answer = await client.put(f"{ObjectWrite('PUT', name).path}/status", json=body)
        telemetry.ENTRY_WRITES.labels(str(answer.status_code)).inc()
        return is_final(answer)
