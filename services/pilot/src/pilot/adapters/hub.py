"""The engine inside an event loop: clocks, the debounce timer, and the wake-ups of streams and of waiting readers."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta

import structlog
from meshcore.distribution.events import ChangeSet, FullState
from meshcore.errors import MeshError
from meshcore.xds.resource import EMPTY, ResourceSet
from meshcore.xds.secret_book import SecretName, SecretState
from meshcore.xds.session import Front

from pilot.adapters import telemetry
from pilot.adapters.config_counts import ConfigCounts
from pilot.adapters.line import Line
from pilot.adapters.quiet import Quiet
from pilot.adapters.turns import Turns
from pilot.adapters.wake import Wake
from pilot.core.admission import Admission
from pilot.core.config import Source
from pilot.core.engine import Engine
from pilot.core.intake import LeftOut, Untaken
from pilot.core.issuer_keys import IssuerKeys, KeySource
from pilot.core.pace import CompileLog
from pilot.core.proxy import Proxy
from pilot.core.registry import RegisteredWorkload
from pilot.core.secret_rights import Account
from pilot.core.stream import Stream
from pilot.core.tenants import Tenants
from pilot.core.throttle import Throttle

QUIET = 10.0
"""Seconds without a new stream after which it is forgotten what new streams have in common."""
_ENDPOINTS, _CONFIG = 0, 1
"""The lanes in the order of their turns."""
_log = structlog.get_logger("engine")


class Hub:
    """One per process. Everything that happens to the engine goes through here."""

    def __init__(
        self, engine: Engine, admission: Admission, tenants: Tenants | None = None, throttle: Throttle | None = None
    ) -> None:
        self.engine = engine
        self.admission = admission
        self.tenants = tenants or Tenants()
        self.throttle = throttle or Throttle()
        self.has_state = asyncio.Event()
        self.secrets_wanted = asyncio.Event()
        """Set when other Secrets may be needed than before."""
        self.rights_wanted = asyncio.Event()
        """Set when other proxies may need Secrets than before."""
        self.keys_wanted = asyncio.Event()
        """Set when keys of other issuers may be needed than before."""
        self._lanes = (
            (engine.endpoint_lane, engine.release_endpoints),
            (engine.config_lane, engine.release_pushes),
        )
        self._keys: Mapping[KeySource, timedelta] = {}
        self._keys_taken = asyncio.Event()
        self._secret_users: set[int] = set()
        self._counts = ConfigCounts()
        self._arrived = asyncio.Event()
        self._wakes: dict[int, Wake] = {}
        self._turns = Turns(len(self._lanes), self._wake)
        self._progress: asyncio.Event | None = None
        """Set at the next step of anybody, if somebody waits for one."""
        self._compiles = CompileLog()
        quiet = Quiet(QUIET, lambda: bool(admission.busy or admission.backlog), engine.frames.openings.forget)
        self.line = Line(admission, self.tenants, quiet.stirred)
        self.sweeps = 0
        """How often expired registrations were looked for."""
        self.registered_sequence = 0
        """The last message of the bucket of registrations that the snapshot knows."""
        telemetry.COMPILES.set_function(lambda: engine.configs.compiles)
        telemetry.REFRESHES.set_function(lambda: engine.configs.refreshes)
        telemetry.FRAMES_BUILT.set_function(lambda: engine.frames.built)
        telemetry.FRAMES_SHARED.set_function(lambda: engine.frames.shared)

    @property
    def is_busy(self) -> bool:
        """Whether streams are being taken in or pushed to, so that everything else had better wait."""
        pushing = any(not lane.idle for lane, _ in self._lanes)
        return bool(self.admission.busy or self.admission.backlog or pushing)

    async def run(self) -> None:
        """Release pushes when the debounce says so; never returns."""
        while True:
            due = [when for lane, _ in self._lanes if (when := lane.debounce.due) is not None]
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(due) - time.monotonic()) if due else None):
                    await self._arrived.wait()
                    continue
            self._release()

    def take_state(self, state: FullState) -> None:
        """The feed has a whole state."""
        telemetry.INBOUND.labels("config").inc()
        before = self.engine.snapshot.diagnostics
        self.engine.take_state(state, time.monotonic())
        self._tell_left_out(before)
        self._changed()
        self.has_state.set()

    def take_changes(self, changes: ChangeSet) -> None:
        """The feed has a change set."""
        telemetry.INBOUND.labels("config").inc()
        before = self.engine.snapshot.diagnostics
        self.engine.take_changes(changes, time.monotonic())
        self._tell_left_out(before)
        self._changed()

    def take_registered(self, workloads: Iterable[RegisteredWorkload], sequence: int) -> None:
        """The set of registered workloads is now this one, as of that message of the bucket."""
        telemetry.INBOUND.labels("eds").inc()
        self.engine.take_registered(workloads, time.monotonic())
        self.registered_sequence = sequence
        self._changed()

    def take_secret(self, name: SecretName, state: SecretState) -> None:
        """Galley has told what a Secret is now."""
        self.engine.take_secret(name, state, time.monotonic())
        self._arrived.set()

    def take_secret_revision(self, revision: int) -> None:
        """Galley has told all that a revision changed of the Secrets that are watched."""
        self.engine.take_secret_revision(revision)
        self.progressed()

    def take_right(self, account: Account, allowed: bool) -> None:
        """A Kubernetes API has said who may read Secrets."""
        self.engine.take_right(account, allowed, time.monotonic())
        self.secrets_wanted.set()
        self._arrived.set()

    def take_keys(self, keys: IssuerKeys) -> None:
        """This is known of the keys of issuers now."""
        self.engine.take_keys(keys, time.monotonic())
        self._arrived.set()
        self._keys_taken.set()
        self._keys_taken = asyncio.Event()

    async def keys_tried(self, stream: Stream, within: float) -> bool:
        """Wait at most so many seconds until all keys that the config of a stream needs have been tried once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self._waits_for_keys(stream):
                    await self._keys_taken.wait()
        return not self._waits_for_keys(stream)

    def target(self, stream: Stream) -> ResourceSet:
        """What a new stream is to have."""
        began, makes = time.monotonic(), self.engine.configs.makes
        resources = self.engine.target(stream)
        self._made(began, makes)
        self._note(stream, resources)
        self._tell_faults()
        return resources

    def keep_secrets(self, stream: Stream) -> ResourceSet:
        """What an agent is to have that asks for the Secrets of its proxy."""
        self.engine.keep_secrets(stream)
        self.tenants.join(stream, alone=self.engine.is_alone(stream))
        return self.target(stream)

    def connect(self, proxy: Proxy, front: Front, address: str) -> tuple[Stream, Wake]:
        """A stream of an authorised proxy, and what is set when it has something to do; RESOURCE_EXHAUSTED when its
        client has proxies of too many kinds."""
        stream = self.engine.connect(proxy, front, address, time.time())
        try:
            self.tenants.join(stream, alone=self.engine.is_alone(stream))
        except MeshError:
            self.engine.disconnect(stream)
            raise
        wake = self._wakes[stream.number] = Wake()
        telemetry.CONNECTED.labels(_version_label(proxy.version)).inc()
        return stream, wake

    def disconnect(self, stream: Stream) -> None:
        """The stream has ended."""
        if (wake := self._wakes.pop(stream.number, None)) is not None:
            wake.close()
        telemetry.CONNECTED.labels(_version_label(stream.proxy.version)).dec()
        self._note_secrets(stream, EMPTY)
        self.tenants.leave(stream)
        self._go_on(self.throttle.left(stream.number))
        if self.engine.disconnect(stream):
            self.progressed()
        self._counts.left(stream.proxy_class, self.engine.configs)

    def take_push(self, stream: Stream) -> tuple[int, ResourceSet] | None:
        """The revision and target of the stream's pending push, if it is its turn."""
        if not self._has_push(stream) or not self.throttle.begins(stream.number):
            return None
        began, makes = time.monotonic(), self.engine.configs.makes
        taken = self.engine.take_push(stream, config=not self._turns.waits(_CONFIG, stream.number))
        if taken is None:
            self.written(stream)
            return None
        push, resources = taken
        self._note(stream, resources)
        if self.engine.configs.broken:
            self._note_broken(stream)
        self._tell_faults()
        turn = began
        if stream.pace.stage is None:
            turn -= self._compiles.seconds_since(push.queued_at, began)
        stream.pace.begins(push.queued_at, turn, self._made(began, makes))
        stream.take(push, began - push.queued_at)
        return push.revision, resources

    def written(self, stream: Stream) -> None:
        """All that there was for the stream is written."""
        self._go_on(self.throttle.ends(stream.number))

    def take_refusal(self, stream: Stream, type_url: str, names: Iterable[str], words: str) -> None:
        """A client refuses a message: its class may be given something else."""
        self._line_up(_CONFIG, self.engine.take_refusal(stream, type_url, names, words, time.monotonic()))

    def take_acknowledgement(self, stream: Stream, type_url: str) -> None:
        """A client has taken a message: what its class is given otherwise may no longer be needed."""
        if self.engine.isolation.active:
            self._line_up(_CONFIG, self.engine.take_acknowledgement(stream, type_url, time.monotonic()))

    def tell_health_known(self, stream: Stream) -> None:
        """Have the agent of this stream told that its workload's health is known everywhere."""
        stream.health_known = True
        self._wake(stream.number)

    def progressed(self) -> None:
        """A receipt has moved: wake everybody who waits for one."""
        if self._progress is not None:
            self._progress.set()
            self._progress = None

    async def progress(self, seconds: float) -> None:
        """Return when a receipt moves or a revision arrives, at the latest after `seconds`."""
        if self._progress is None:
            self._progress = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._progress.wait()

    async def registered_taken(self, sequence: int, seconds: float) -> bool:
        """Wait until every proxy's stream of this process has taken what the bucket held at `sequence`."""
        deadline = time.monotonic() + seconds
        while self.registered_sequence < sequence:
            if not await self._progressed_by(deadline):
                return False
        generation, endpoints = self.engine.registered_at
        streams = self.engine.streams
        # One at a time, each once: who comes later begins with what there is now.
        for number in [number for number, stream in streams.items() if stream.proxy_class is not None]:
            while number in streams and not streams[number].has_taken(generation, endpoints):
                if not await self._progressed_by(deadline):
                    return False
        return True

    async def _progressed_by(self, deadline: float) -> bool:
        """Wait for the next step of anybody; False when the time is over."""
        left = deadline - time.monotonic()
        if left > 0:
            await self.progress(left)
        return left > 0

    def _has_push(self, stream: Stream) -> bool:
        engine, number, turns = self.engine, stream.number, self._turns
        if engine.config_lane.queue.pending(number) and not turns.waits(_CONFIG, number):
            return True
        return engine.endpoint_lane.queue.pending(number) and not turns.waits(_ENDPOINTS, number)

    def _go_on(self, following: int | None) -> None:
        """A place is free: a stream that has waited has it. It is told in a turn of its own, for what it does on the
        spot may free the place again, as many times as streams have waited."""
        if following is not None:
            asyncio.get_running_loop().call_soon(self._wake, following)

    def _made(self, began: float, makes: int) -> float:
        """The time now; what was spent since `began` on a target counts if it was not found made."""
        now = time.monotonic()
        if self.engine.configs.makes != makes:
            self._compiles.note(began, now)
            telemetry.COMPILE_TIME.observe(now - began)
        return now

    def _waits_for_keys(self, stream: Stream) -> bool:
        return self.engine.key_demand.waiting(self.engine.snapshot)(stream.proxy_class)

    def _note(self, stream: Stream, resources: ResourceSet) -> None:
        """See what there is to be said of what a stream is given."""
        if resources.secrets or self._secret_users:
            self._note_secrets(stream, resources)
        self._counts.note(stream.proxy_class, resources)

    def _note_broken(self, stream: Stream) -> None:
        """If the last compile of its class failed, that is as good as a refusal: the client keeps what it has."""
        one = stream.proxy_class
        why = None if one is None else self.engine.configs.broken.get(one)
        if why is None:
            return
        telemetry.INTERNAL_ERRORS.inc()
        _log.error("compile failed, the proxy keeps what it has", proxy=stream.proxy.id, error=why)
        if self.engine.receipts.refused(stream.number, self.engine.snapshot.revision, "compile", why):
            self.progressed()

    def _note_secrets(self, stream: Stream, resources: ResourceSet) -> None:
        """Wake the source of secrets when this stream needs some, or needed some before."""
        if not resources.secrets and stream.number not in self._secret_users:
            return
        self.secrets_wanted.set()
        self.rights_wanted.set()
        (self._secret_users.add if resources.secrets else self._secret_users.discard)(stream.number)

    def _tell_left_out(self, before: Mapping[Source, LeftOut]) -> None:
        """Log and count what is left out and was not, or for another reason."""
        after = self.engine.snapshot.diagnostics
        for source, one in after.items() if after is not before else ():
            if before.get(source) != one:
                _tell(one)

    def _tell_faults(self) -> None:
        """The same of objects that a compile fails on; the receipt of their revision tells of them, too."""
        news = self.engine.configs.faults.news
        for fault in news:
            _tell(fault.problem)
            revision = fault.config.revision
            if self.engine.receipts.left_out(revision, Untaken(str(fault.config.ref), fault.problem.message)):
                self.progressed()
        news.clear()

    def _changed(self) -> None:
        if (keys := self.engine.key_demand.wanted(self.engine.snapshot)) is not self._keys:
            self._keys = keys
            self.keys_wanted.set()
        self._arrived.set()
        self.progressed()
        self._counts.changed(self.engine.configs)
        telemetry.SERVICES.set(len(self.engine.snapshot.registry.services))
        telemetry.VIRTUAL_SERVICES.set(len(self.engine.snapshot.configs.get("VirtualService", ())))

    def _release(self) -> None:
        now = time.monotonic()
        for number, (lane, release) in enumerate(self._lanes):
            due, since = lane.debounce.due, lane.debounce.waiting_since
            if due is not None and due <= now:
                telemetry.DEBOUNCE_TIME.observe(now - (now if since is None else since))
                self._line_up(number, release())

    def _line_up(self, lane: int, numbers: Iterable[int]) -> None:
        streams = self.engine.streams
        self._turns.line_up(lane, ((number, streams[number].of_class) for number in numbers))

    def _wake(self, number: int) -> None:
        if (wake := self._wakes.get(number)) is not None:
            wake.set()


def _tell(one: LeftOut) -> None:
    kind, namespace, name = one.source
    telemetry.LEFT_OUT.labels(kind, one.code).inc()
    where = {"where": one.where} if one.where else {}
    _log.error("object left out", kind=kind, namespace=namespace, name=name, reason=one.brief, **where)


def _version_label(version: str) -> str:
    """The first two numbers of a version; free text of a client is not a label."""
    parts = version.split(".")
    return ".".join(parts[:2]) if len(parts) >= 2 and all(part.isdigit() for part in parts[:2]) else "unknown"
