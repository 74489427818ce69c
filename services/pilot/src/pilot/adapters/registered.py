"""Registration over the streams of this process: keeps entries in the bucket true to what the streams say."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog
from meshcore.bus.connection import BUS_ERRORS, Bus
from meshcore.errors import MeshError
from meshcore.runtime import tasks

from pilot.adapters import telemetry
from pilot.adapters.endpoints_bucket import EndpointsBucket, Heartbeat, until_connected
from pilot.adapters.hub import Hub
from pilot.core.proxy import Proxy
from pilot.core.registration import Entry, Expiry, entry_of, find_group, may_replace, with_mark
from pilot.core.stream import Stream
from pilot.settings import PilotSettings

FIRST_HEALTH = 0.3
"""Seconds that an agent has to say how its workload is before it is taken to be well."""
PROXY_DELAY = 3.0
"""Seconds that an Envoy's stream leaves to the agent's, which is the one that counts."""
MISSED_BEATS = 3
_RETRY = 0.5
_log = structlog.get_logger("registration")

Spread = Callable[[int], Awaitable[None]]
"""Returns when every Pilot's streams have taken what the bucket held at that sequence, or when it takes too long."""


class _Registration:
    """One stream's registration: what is wanted, and the task that makes the bucket say so."""

    def __init__(self, stream: Stream, connection: int) -> None:
        self.stream = stream
        self.connection = connection
        self.healthy: bool | None = None
        self.over = False
        self.remove = False
        self.news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Registered:
    """The registrations of this process, and the view of everybody's."""

    def __init__(self, hub: Hub, bus: Bus, bucket: EndpointsBucket, settings: PilotSettings, process: str) -> None:
        self._hub = hub
        self._bus = bus
        self._bucket = bucket
        self._process = process
        self._instance = settings.instance
        self._interval = settings.heartbeat_interval.total_seconds()
        self._forgotten_after = settings.registration_forgotten_after.total_seconds()
        self._stable_for = settings.registration_stable_after.total_seconds()
        grace = settings.registration_grace.total_seconds()
        self._expiry = Expiry(process, grace=grace, stable_for=self._stable_for)
        self._open: dict[int, _Registration] = {}
        self._stable_since: float | None = None
        self._beats = time.time_ns()
        self._stopping = False
        self.spread: Spread | None = None

    async def began(self, stream: Stream) -> None:
        """An authorised stream; raises when its group does not exist or is not for it."""
        proxy = stream.proxy
        if not proxy.auto_register_group:
            return
        try:
            find_group(proxy, self._hub.engine.snapshot.registry.groups)
        except MeshError:
            telemetry.REGISTRATION_ERRORS.inc()
            if proxy.is_agent:
                raise
            return
        registration = _Registration(stream, self._next_connection(proxy))
        self._open[stream.number] = registration
        registration.task = tasks.create_task(self._keep(registration), name="registration")

    def _next_connection(self, proxy: Proxy) -> int:
        """A number above the one that is known to hold the entry, even if that Pilot's clock is ahead of this one's."""
        held = self._bucket.find(entry_of(proxy, self._process, 0, healthy=True).key)
        return max(time.time_ns(), held.entry.connection + 1 if held is not None else 0)

    def health(self, stream: Stream, *, healthy: bool) -> None:
        """The agent says how its workload is."""
        if (registration := self._open.get(stream.number)) is not None:
            registration.healthy = healthy
            registration.news.set()

    def ended(self, stream: Stream, *, orderly: bool) -> None:
        """The stream is over. When this process stops, its workloads stay: they reconnect elsewhere."""
        if (registration := self._open.pop(stream.number, None)) is not None:
            registration.over = True
            registration.remove = orderly and not self._stopping
            registration.news.set()

    async def stop(self) -> None:
        """This process ends: give up the lease, leave the entries."""
        self._stopping = True
        await tasks.cancel(*(one.task for one in self._open.values() if one.task is not None))
        if self._bus.is_connected:
            try:
                await self._bucket.end_beat(self._process)
            except BUS_ERRORS as error:
                _log.info("heartbeat not ended", error=type(error).__name__)

    def show(self) -> None:
        """Tell the hub what is registered now."""
        entries = self._bucket.entries
        telemetry.REGISTERED.set(len(entries))
        self._hub.take_registered((entry.workload() for entry in entries), self._bucket.sequence)

    async def tend(self) -> None:
        """Beat, expire, save: for ever."""
        # The first beat comes as soon as it can: until then nobody asks this process who has what.
        await until_connected(self._bus)
        while True:
            self._note_stability()
            try:
                if self._bus.is_connected:
                    self._beats += 1
                    await self._bucket.beat(Heartbeat(self._instance, self._process, self._beats))
                    await self._sweep()
                    self._hub.sweeps += 1
                    leads = self._bucket.leads(self._process, MISSED_BEATS * self._interval + 0.5)
                    await self._bucket.forget_deleted(self._forgotten_after, leads=leads)
                await self._bucket.save()
            except (*BUS_ERRORS, OSError) as error:
                _log.warning("registrations not tended", error=type(error).__name__)
            await asyncio.sleep(self._interval)

    def _note_stability(self) -> None:
        stable = (
            self._hub.has_state.is_set()
            and self._bus.is_connected
            and self._bucket.in_sync_since is not None
            and self._hub.admission.backlog == 0
        )
        if not stable:
            self._stable_since = None
        elif self._stable_since is None:
            self._stable_since = time.monotonic()

    def is_stable(self) -> bool:
        """Whether this process has been in sync for so long that what the bucket lacks is gone."""
        since = self._stable_since
        return since is not None and time.monotonic() >= since + self._stable_for

    def _living(self, entry: Entry) -> bool:
        if entry.owner == self._process:
            return any(one.connection == entry.connection for one in self._open.values())
        return self._bucket.beating(entry.owner, MISSED_BEATS * self._interval + 0.5)

    async def _sweep(self) -> None:
        verdict = self._expiry.look(self._bucket.entries, self._living, self._stable_since, time.monotonic())
        for entry in verdict.expire:
            held = self._bucket.find(entry.key)
            if held is not None and held.entry == entry and await self._bucket.delete(held):
                telemetry.EXPIRED_REGISTRATIONS.inc()
                _log.warning("registration expired", workload=entry.name, namespace=entry.namespace, owner=entry.owner)
        for entry, kept in [(e, True) for e in verdict.keep] + [(e, False) for e in verdict.unmark]:
            held = self._bucket.find(entry.key)
            if held is not None and held.entry == entry:
                await self._bucket.put(with_mark(entry, kept=kept), held.sequence)
        if verdict.keep:
            _log.error(
                "registrations kept although they expired, more than half of their group went together",
                workloads=sorted(entry.name for entry in verdict.keep),
            )
        telemetry.KEPT_REGISTRATIONS.set(sum(entry.kept for entry in self._bucket.entries))

    async def _keep(self, registration: _Registration) -> None:
        """Make the bucket say what this stream says, until the stream is over and that is said too."""
        await self._await_first_word(registration)
        shown: bool | None = None
        while True:
            registration.news.clear()
            if registration.over:
                if registration.remove:
                    await self._persist(registration, self._remove)
                return
            healthy = registration.healthy is not False
            if healthy is shown:
                await registration.news.wait()
                continue
            await self._persist(registration, self._write)
            shown = healthy
            if not healthy:
                await self._tell(registration)

    async def _await_first_word(self, registration: _Registration) -> None:
        delay = FIRST_HEALTH if registration.stream.proxy.is_agent else PROXY_DELAY
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await registration.news.wait()

    async def _persist(self, registration: _Registration, step: Callable[[_Registration], Awaitable[bool]]) -> None:
        """Try until it is done or has lost its point."""
        while True:
            await until_connected(self._bus)
            try:
                if await step(registration):
                    return
            except BUS_ERRORS as error:
                _log.warning("registration not written yet", error=type(error).__name__)
                await asyncio.sleep(_RETRY)

    async def _write(self, registration: _Registration) -> bool:
        proxy = registration.stream.proxy
        healthy = registration.healthy is not False
        entry = entry_of(proxy, self._process, registration.connection, healthy=healthy)
        held = self._bucket.find(entry.key)
        if not may_replace(entry, held.entry if held else None):
            return True
        if await self._bucket.put(entry, held.sequence if held else 0) is None:
            # Somebody was faster; the watch will show who.
            await asyncio.sleep(0.02)
            return False
        if held is None or held.entry.connection != entry.connection:
            telemetry.REGISTRATIONS.inc()
        _log.info("workload registered", workload=entry.name, namespace=entry.namespace, healthy=healthy)
        return True

    async def _remove(self, registration: _Registration) -> bool:
        proxy = registration.stream.proxy
        held = self._bucket.find(entry_of(proxy, self._process, registration.connection, healthy=True).key)
        if held is None or held.entry.connection != registration.connection:
            return True
        if not await self._bucket.delete(held):
            await asyncio.sleep(0.02)
            return False
        telemetry.UNREGISTRATIONS.inc()
        _log.info("workload de-registered", workload=held.entry.name, namespace=held.entry.namespace)
        return True

    async def _tell(self, registration: _Registration) -> None:
        """Tell the agent when everybody has taken its workload out."""
        if self.spread is not None:
            await self.spread(self._bucket.sequence)
        self._hub.tell_health_known(registration.stream)
