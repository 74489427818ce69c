"""A lease in the bucket `mesh-endpoints`: one instance does what only one may do, and the next goes on where it was."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import msgspec
import structlog
from meshcore.bus.connection import BUS_ERRORS, Bus
from nats.js.errors import BadRequestError, KeyNotFoundError, KeyWrongLastSequenceError

from pilot.adapters.endpoints_bucket import BUCKET, LEASES

MISSED = 3
"""Looks at an unchanged lease after which its holder is taken for dead: no clock is compared."""


_log = structlog.get_logger("lease")


class Held(msgspec.Struct, frozen=True):
    """What the holder writes at every look; `notes` are its own, for whoever comes next."""

    holder: str
    beat: int
    notes: dict[str, str] = {}


class Lease:
    """Looked at at even intervals, by every instance."""

    def __init__(self, bus: Bus, name: str, holder: str) -> None:
        self._bus = bus
        self.name = name
        self._key = f"{LEASES}{name}"
        self._holder = holder
        self._seen: Held | None = None
        self._still = 0
        self.notes: dict[str, str] = {}

    async def hold(self, keep: dict[str, str] | None = None) -> bool:
        """Renew the lease (with `keep` as notes) or take it over; whether it is ours. Errors are NATS' own."""
        store = await self._bus.jetstream().key_value(BUCKET)
        found, sequence = None, 0
        try:
            entry = await store.get(self._key)
            found, sequence = msgspec.json.decode(entry.value or b"", type=Held), int(entry.revision or 0)
        except KeyNotFoundError:
            found = None
        except msgspec.MsgspecError:
            found, sequence = None, int(entry.revision or 0)
        if found is not None and found.holder != self._holder:
            self._still = self._still + 1 if found == self._seen else 0
            self._seen = found
            if self._still < MISSED:
                return False
        notes = found.notes if found is not None and keep is None else keep or {}
        body = msgspec.json.encode(Held(self._holder, found.beat + 1 if found is not None else 1, notes))
        try:
            if sequence:
                await store.update(self._key, body, last=sequence)
            else:
                await store.create(self._key, body)
        except (KeyWrongLastSequenceError, BadRequestError):
            return False  # somebody else was faster
        self.notes = notes
        return True


async def while_leased(
    bus: Bus, lease: Lease, every: float, look: Callable[[], Awaitable[None]], lost: Callable[[], None]
) -> None:
    """Look every so many seconds while the lease is ours, for ever; `lost` is called when it is not. What Galley or
    NATS cannot do now is tried with the next look."""
    while True:
        await asyncio.sleep(every)
        try:
            if bus.is_connected and await lease.hold():
                await look()
            else:
                lost()
        except (*BUS_ERRORS, OSError, httpx.HTTPError) as error:
            _log.info("not written yet", lease=lease.name, error=type(error).__name__)
