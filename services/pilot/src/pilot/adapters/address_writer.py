"""Tells the addresses that Pilot gives and knows in the status of objects, from the one process with the lease."""

import structlog
from meshcore.bus.connection import Bus

from pilot.adapters import telemetry
from pilot.adapters.galley_api import MERGE, galley_api, is_final
from pilot.adapters.hub import Hub
from pilot.adapters.lease import Lease, while_leased
from pilot.core.address_status import Part, Place, address_parts, changed_parts, status_path
from pilot.core.snapshot import MeshSnapshot
from pilot.settings import PilotSettings

LEASE = "pilot-addresses"
_AT_ONCE = 200
_log = structlog.get_logger("status")


class AddressWriter:
    """One look every `status_interval`. Whoever takes over tells everything again: what is there costs no revision."""

    def __init__(self, bus: Bus, hub: Hub, settings: PilotSettings, process: str) -> None:
        self._bus = bus
        self._hub = hub
        self._settings = settings
        self._lease = Lease(bus, LEASE, process)
        self._told: dict[Place, Part] = {}
        self._seen: MeshSnapshot | None = None

    async def run(self) -> None:
        """Look again and again, for ever."""
        every = self._settings.status_interval.total_seconds()
        await while_leased(self._bus, self._lease, every, self._look, self._lost)

    def _lost(self) -> None:
        self._told.clear()
        self._seen = None

    async def _look(self) -> None:
        snapshot = self._hub.engine.snapshot
        if snapshot is self._seen or not self._hub.has_state.is_set():
            return
        wanted = address_parts(snapshot)
        due = list(changed_parts(wanted, self._told))
        if due:
            async with galley_api(self._settings) as client:
                for place, part in due[:_AT_ONCE]:
                    answer = await client.patch(status_path(place), json={"status": part}, headers=MERGE)
                    telemetry.ADDRESS_WRITES.labels(str(answer.status_code)).inc()
                    if not is_final(answer):
                        _log.warning("addresses not told", object="/".join(place), code=answer.status_code)
                    if place in wanted:
                        self._told[place] = part
                    else:
                        self._told.pop(place)
        if len(due) <= _AT_ONCE:
            self._seen = snapshot
