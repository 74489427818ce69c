"""Reports what proxies refuse into the status of the objects that made it, from the one instance with the lease."""

import asyncio
from datetime import UTC, datetime

import httpx
import structlog
from meshcore.bus.connection import BUS_ERRORS, Bus
from meshcore.xds.origin import ConfigRef

from pilot.adapters import telemetry
from pilot.adapters.answers import Source
from pilot.adapters.galley_api import MERGE, galley_api
from pilot.adapters.lease import Lease
from pilot.core.object_status import StatusWrite, messages_of, writes
from pilot.settings import PilotSettings

LEASE = "pilot-status"
_log = structlog.get_logger("status")


class StatusWriter:
    """One look every `status_interval`: so an object is written at most once in that time, and only when it changes."""

    def __init__(self, bus: Bus, source: Source, settings: PilotSettings) -> None:
        self._bus = bus
        self._source = source
        self._settings = settings
        self._every = settings.status_interval.total_seconds()
        self._lease = Lease(bus, LEASE, settings.instance)
        self._held = False
        self._written: dict[ConfigRef, str] = {}

    async def run(self) -> None:
        """Look again and again, for ever."""
        while True:
            await asyncio.sleep(self._every)
            if not self._bus.is_connected:
                self._held = False
                continue
            try:
                await self._look()
            except BUS_ERRORS as error:
                _log.info("lease not renewed", error=type(error).__name__)
                self._held = False

    async def _look(self) -> None:
        kept = {str(config): message for config, message in self._written.items()} if self._held else None
        held = await self._lease.hold(kept)
        if held and not self._held:
            self._written = {ConfigRef.parse(key): message for key, message in self._lease.notes.items()}
        self._held = held
        if not held:
            return
        gathered = await self._source.ask("refusals", {}, 0)
        wanted = messages_of(row for part in gathered.answers.values() for row in part)
        due = writes(wanted, self._written, whole=not gathered.missing)
        if due and await self._announce(due):
            await self._write(due)
        telemetry.STATUS_LOOKS.inc()

    async def _announce(self, due: tuple[StatusWrite, ...]) -> bool:
        """Note what is about to be written as neither there nor not there: whoever takes over from a writer that dies
        meanwhile writes it again or clears it."""
        self._written |= {one.config: "" for one in due}
        self._held = await self._lease.hold({str(config): message for config, message in self._written.items()})
        return self._held

    async def _write(self, due: tuple[StatusWrite, ...]) -> None:
        async with galley_api(self._settings) as client:
            for one in due:
                if not await self._write_one(client, one):
                    return

    async def _write_one(self, client: httpx.AsyncClient, one: StatusWrite) -> bool:
        """Whether it makes sense to go on with the next."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            answer = await client.patch(one.path, json=one.body(now), headers=MERGE)
        except httpx.TransportError as error:
            _log.info("status not written, galley does not answer", error=type(error).__name__)
            return False
        telemetry.STATUS_WRITES.labels(str(answer.status_code)).inc()
        if answer.is_success or answer.status_code == httpx.codes.NOT_FOUND:
            # An object that is gone has no status; it is forgotten when nobody refuses it any more.
            if one.message:
                self._written[one.config] = one.message
            else:
                self._written.pop(one.config, None)
            _log.info("status written", config=str(one.config), refused=bool(one.message), code=answer.status_code)
            return True
        _log.warning("status not written", config=str(one.config), code=answer.status_code)
        return answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR
