"""Tells the addresses that Pilot gives and knows in the status of objects, from the one process with the lease."""

import time
from collections.abc import Mapping, Sequence

import structlog
from meshcore.bus.connection import Bus

from pilot.adapters import telemetry
from pilot.adapters.galley_api import MERGE, galley_api, is_final
from pilot.adapters.hub import Hub
from pilot.adapters.lease import Lease, while_leased
from pilot.core.address_status import (
    Part,
    Place,
    address_parts,
    changed_parts,
    notes_of,
    object_ids,
    status_path,
    told_by,
)
from pilot.core.leisure import Leisure
from pilot.core.snapshot import MeshSnapshot
from pilot.settings import PilotSettings

LEASE = "pilot-addresses"
_AT_ONCE = 200
_log = structlog.get_logger("status")


class AddressWriter:
    """One look every `status_interval`, put off while proxies are served. Whoever takes over goes on by the notes of
    the lease: what has been told is not told again, but with all of its group when something of that has changed."""

    def __init__(self, bus: Bus, hub: Hub, settings: PilotSettings, process: str) -> None:
        self._bus = bus
        self._hub = hub
        self._settings = settings
        self._lease = Lease(bus, LEASE, process)
        self._leisure = Leisure()
        self._told: dict[Place, Part] | None = None
        """None until the notes have been read."""
        self._objects: Mapping[Place, str] = {}
        """The uids of the objects that were told."""
        self._seen: MeshSnapshot | None = None

    async def run(self) -> None:
        """Look again and again, for ever."""
        every = self._settings.status_interval.total_seconds()
        await while_leased(self._bus, self._lease, every, self._look, self._lost)

    def _lost(self) -> None:
        self._told = self._seen = None

    async def _look(self) -> None:
        snapshot = self._hub.engine.snapshot
        if snapshot is self._seen or not self._hub.has_state.is_set() or not self._may_go_on():
            return
        wanted = address_parts(snapshot)
        before, self._objects = self._objects, object_ids(snapshot, {*wanted, *(self._told or ())})
        if self._told is None:
            self._told = told_by(self._lease.notes, wanted, self._objects)
        self._told = {place: part for place, part in self._told.items() if self._is_same(place, before)}
        due = list(changed_parts(wanted, self._told))
        left = await self._tell(due[:_AT_ONCE], wanted, self._told) if due else 0
        notes = notes_of(self._told, self._objects)
        if notes != self._lease.notes:
            await self._lease.hold(notes)
        if not left and len(due) <= _AT_ONCE:
            self._seen = snapshot
            self._leisure.done()

    async def _tell(
        self, due: Sequence[tuple[Place, Part]], wanted: Mapping[Place, Part], told: dict[Place, Part]
    ) -> int:
        """Write them one by one as long as there is time for it; how many are left."""
        async with galley_api(self._settings) as client:
            for number, (place, part) in enumerate(due):
                if not self._may_go_on():
                    return len(due) - number
                answer = await client.patch(status_path(place), json={"status": part}, headers=MERGE)
                telemetry.ADDRESS_WRITES.labels(str(answer.status_code)).inc()
                if not is_final(answer):
                    _log.warning("addresses not told", object="/".join(place), code=answer.status_code)
                if place in wanted:
                    told[place] = part
                else:
                    told.pop(place)
        return 0

    def _is_same(self, place: Place, before: Mapping[Place, str]) -> bool:
        """Whether the object there is the one that was there before; unknown counts as the same."""
        return self._objects[place] == before.get(place, self._objects[place])

    def _may_go_on(self) -> bool:
        return self._leisure.comes(busy=self._hub.is_busy, now=time.monotonic())
