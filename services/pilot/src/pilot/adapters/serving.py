"""A serving process: feed -> hub -> ADS, with registrations beside it. A Pilot without workers is one, and so is each
worker."""

from dataclasses import dataclass, replace
from pathlib import Path

from meshcore import metrics
from meshcore.authentication.call_proofs import CallProofs
from meshcore.authentication.composition import start_call_proofs
from meshcore.bus.connection import Bus, BusSettings
from meshcore.bus.feed import ConfigFeed
from meshcore.distribution.events import FullState
from meshcore.http.kubeconfig import Access
from meshcore.runtime import Runtime
from meshcore.tls import LiveIdentity
from meshcore.tls.serving_certificate import serving_identity

from pilot.adapters import telemetry
from pilot.adapters.address_writer import AddressWriter
from pilot.adapters.answers import LocalAnswers, Source
from pilot.adapters.control import control_server
from pilot.adapters.debug_stream import DebugStream
from pilot.adapters.endpoints_bucket import SILENCE, EndpointsBucket
from pilot.adapters.entry_writer import EntryWriter
from pilot.adapters.first_workers import FirstWorkers
from pilot.adapters.galley_api import TOKEN_FILE
from pilot.adapters.hub import Hub
from pilot.adapters.in_force import InForce, sharing
from pilot.adapters.issuer_fetch import IssuerFetch
from pilot.adapters.issuer_key_source import IssuerKeySource
from pilot.adapters.peers import Peers
from pilot.adapters.registered import Registered
from pilot.adapters.secret_rights_source import SecretRightsSource
from pilot.adapters.secret_source import SecretSource
from pilot.adapters.servers import AdsServers
from pilot.adapters.status_writer import StatusWriter
from pilot.adapters.upkeep import keep_house
from pilot.adapters.worker_metrics import WorkerMetrics
from pilot.adapters.workers import WorkerPool, end_with_parent
from pilot.core.admission import Admission
from pilot.core.compiling import Affects, Compile, Forget, Refresh, never, nothing
from pilot.core.debounce import Debounce
from pilot.core.engine import Engine
from pilot.core.tenants import Tenants
from pilot.core.throttle import Throttle
from pilot.settings import PilotSettings

NATS_USER_FILE = "nats-user.json"
ROOT_FILE = "root-cert.pem"
SPREAD_WITHIN = 5.0
"""Seconds that an agent waits at most for its workload to be out of everybody's sight."""


@dataclass
class Serving:
    """The parts of a serving process that others talk to; `source` answers for every instance."""

    hub: Hub
    servers: AdsServers
    source: Source
    registered: Registered | None


def process_name(settings: PilotSettings) -> str:
    """`pilot-1`, or `pilot-1/w0` for a worker of it."""
    return settings.instance if settings.worker < 0 else f"{settings.instance}/w{settings.worker}"


async def start_serving(
    runtime: Runtime[PilotSettings],
    compile_class: Compile,
    affects: Affects,
    identity: LiveIdentity | None,
    refresh: Refresh = never,
    forget: Forget = nothing,
) -> Serving:
    """Start the parts; the ADS ports open once the first complete snapshot is there."""
    settings = runtime.settings
    quiet, longest = settings.debounce_after.total_seconds(), settings.debounce_max.total_seconds()
    # Endpoints do not wait for a quiet time: a callee that is gone fails calls until its callers know.
    together = min(quiet, longest) if settings.enable_eds_debounce else 0.0
    debounce, endpoint_debounce = Debounce(quiet, longest), Debounce(together, together)
    hub = hub_of(settings, Engine(compile_class, affects, debounce, endpoint_debounce, refresh=refresh, forget=forget))
    runtime.readiness.expect("feed", "ads")
    runtime.spawn("hub", hub.run)
    runtime.spawn("upkeep", lambda: keep_house(hub.engine.frames))
    in_force = InForce(runtime, hub, config_copy(settings))
    answers = LocalAnswers(hub, process_name(settings), runtime.readiness, in_force)
    source: Source = answers
    registered = None
    bus = connect_bus(runtime)
    if bus is not None:
        registered, source = _start_registrations(runtime, hub, bus, answers)
        _start_feed(runtime, hub, bus, in_force)
        if settings.worker < 0:
            _start_status(runtime, bus, source)
    _start_issuer_keys(runtime, hub)
    debug = DebugStream(
        source, settings.instance, runtime.version, settings.root_namespace, guarded=settings.debug_endpoint_auth
    )
    servers = _start_ads(runtime, hub, registered, identity, debug)
    if settings.kubeconfig is not None:
        hub.engine.rights.guarded = True
        runtime.spawn("rights", SecretRightsSource(hub, Access.of_kubeconfig(settings.kubeconfig)).run)
    if identity is not None and settings.galley_address:
        runtime.spawn("secrets", SecretSource(hub, settings.galley_address, identity).run)
    if settings.worker >= 0 and settings.control_socket is not None:
        await runtime.enter("control", control_server(settings.control_socket, answers))
        runtime.spawn("parent", lambda: end_with_parent(runtime), restart=False)
    return Serving(hub, servers, source, registered)


def hub_of(settings: PilotSettings, engine: Engine) -> Hub:
    """The hub of one process, with its part of what bounds all workers of a Pilot."""
    workers = sharing(settings)
    pushes = -(-settings.push_throttle // workers)
    return Hub(
        engine,
        Admission(pushes, settings.max_requests_per_second / workers),
        Tenants(settings.streams_per_identity, settings.classes_per_identity),
        Throttle(pushes),
    )


async def start_parent(runtime: Runtime[PilotSettings], first: FirstWorkers) -> Source:
    """Look after the workers of a Pilot, and start what answers for them and for the other instances."""
    pool = WorkerPool(runtime, first)
    workers = WorkerMetrics(pool)
    telemetry.withdraw()
    metrics.REGISTRY.register(workers)
    runtime.spawn("worker metrics", workers.follow)
    bus = connect_bus(runtime)
    if bus is None:
        return pool
    bucket = EndpointsBucket(bus, None, lambda: None, silence=_silence(runtime.settings))
    runtime.spawn("heartbeats", bucket.watch)
    peers = _start_peers(runtime, bus, bucket, pool)
    _start_status(runtime, bus, peers)
    return peers


def connect_bus(runtime: Runtime[PilotSettings]) -> Bus | None:
    """This process's connection to NATS; without an address there is none and Pilot is not ready."""
    settings = runtime.settings
    if not settings.nats_url:
        runtime.readiness.set("feed", False, "PILOT_NATS_URL is not set")
        return None
    directory = settings.identity_dir
    user = None if directory is None else directory / NATS_USER_FILE
    bus = Bus(
        BusSettings(
            url=settings.nats_url,
            user_file=user if user is not None and user.exists() else None,
            ca_file=None if directory is None else directory / ROOT_FILE,
            name=process_name(settings),
        )
    )
    runtime.on_stop("nats", bus.close)
    return bus


def _start_feed(runtime: Runtime[PilotSettings], hub: Hub, bus: Bus, in_force: InForce) -> None:
    copy = config_copy(runtime.settings)

    async def follow() -> None:
        feed = ConfigFeed(bus, copy, keeps=_keeps_copies(runtime.settings))
        in_force.follows(feed)
        async for event in feed.events():
            if isinstance(event, FullState):
                hub.take_state(event)
                where = " from disk" if event.from_disk else ""
                runtime.readiness.set("feed", True, f"revision {event.revision}{where}")
            else:
                hub.take_changes(event)
            in_force.taken()

    runtime.spawn("feed", follow)


def _start_registrations(
    runtime: Runtime[PilotSettings], hub: Hub, bus: Bus, answers: LocalAnswers
) -> tuple[Registered | None, Source]:
    settings = runtime.settings
    copy, keeps = _copy(settings, "registered.json"), _keeps_copies(settings)
    bucket = EndpointsBucket(bus, copy, lambda: registered.show(), silence=_silence(settings), keeps=keeps)
    registered = Registered(hub, bus, bucket, settings, process_name(settings))
    bucket.load_last_copy()
    runtime.spawn("registrations watch", bucket.watch)
    runtime.spawn("registrations", registered.tend)
    runtime.on_stop("registrations", registered.stop)
    if settings.worker <= 0 and _may_write(settings):
        _start_writers(runtime, hub, bus, bucket, registered)
    alone = settings.worker < 0
    peers = _start_peers(runtime, bus, bucket, answers) if alone else _peers(settings, bus, bucket, None)

    async def spread(sequence: int) -> None:
        await peers.ask("registered", {"sequence": sequence}, SPREAD_WITHIN)

    registered.spread = spread
    return (registered if settings.enable_workload_entry else None), peers


def _start_issuer_keys(runtime: Runtime[PilotSettings], hub: Hub) -> None:
    settings = runtime.settings
    keys = hub.engine.snapshot.keys
    hub.take_keys(replace(keys, fetching=settings.jwt_enable_remote_jwks))
    fetch = IssuerFetch(settings.jwks_ca_file, settings.blocked_jwks_networks)
    copy, keeps = _copy(settings, "issuer-keys.json"), _keeps_copies(settings)
    source = IssuerKeySource(hub, fetch, settings.jwt_pub_key_refresh_interval, copy, keeps=keeps)
    runtime.spawn("issuer keys", source.run)


def _start_status(runtime: Runtime[PilotSettings], bus: Bus, source: Source) -> None:
    """Report refusals to Galley, if it is known where it is and who reports."""
    settings = runtime.settings
    if _may_write(settings):
        runtime.spawn("status", StatusWriter(bus, source, settings).run)


def _start_writers(
    runtime: Runtime[PilotSettings], hub: Hub, bus: Bus, bucket: EndpointsBucket, registered: Registered
) -> None:
    """What one process of all Pilots tells Galley of the mesh."""
    settings, process = runtime.settings, process_name(runtime.settings)
    runtime.spawn("addresses", AddressWriter(bus, hub, settings, process).run)
    if settings.enable_workload_entry:
        writer = EntryWriter(bus, hub, bucket, settings, process, registered.is_stable)
        runtime.spawn("workload entries", writer.run)


def _may_write(settings: PilotSettings) -> bool:
    return bool(settings.galley_url) and settings.identity_dir is not None


def _start_peers(runtime: Runtime[PilotSettings], bus: Bus, bucket: EndpointsBucket, local: Source) -> Peers:
    peers = _peers(runtime.settings, bus, bucket, local)
    runtime.spawn("peers", peers.serve)
    return peers


def _peers(settings: PilotSettings, bus: Bus, bucket: EndpointsBucket, local: Source | None) -> Peers:
    return Peers(
        bus,
        bucket,
        settings.instance,
        local,
        asker=process_name(settings),
        deadline=settings.query_deadline.total_seconds(),
        heartbeat=settings.heartbeat_interval.total_seconds(),
    )


def _start_ads(
    runtime: Runtime[PilotSettings],
    hub: Hub,
    registered: Registered | None,
    identity: LiveIdentity | None,
    debug: DebugStream,
) -> AdsServers:
    settings = runtime.settings
    proofs = CallProofs(settings.trust_domain)
    if identity is not None and settings.identity_dir is not None:
        # A token of one service opens discovery as well as another's: it needs no role.
        token = settings.identity_dir / TOKEN_FILE
        keeps = _keeps_copies(settings)
        proofs = start_call_proofs(runtime, identity, token, "token-keys.json", needed=False, keeps=keeps)
    shown = None if identity is None else serving_identity(runtime, identity)
    servers = AdsServers(hub, registered, settings, shown, proofs, debug)

    async def open_ports() -> None:
        await hub.has_state.wait()
        await servers.start()
        runtime.on_stop("ads", servers.stop)
        runtime.readiness.set("ads", True, f"mtls {servers.secure_port}, plaintext {servers.plaintext_port}")

    runtime.spawn("ads", open_ports, restart=False)
    return servers


def _silence(settings: PilotSettings) -> float:
    """How long the bucket can show nothing at all while heartbeats are written to it."""
    return max(SILENCE, 3 * settings.heartbeat_interval.total_seconds())


def config_copy(settings: PilotSettings) -> Path | None:
    """Where the last copy of the config is kept."""
    return _copy(settings, "config.copy")


def _copy(settings: PilotSettings, name: str) -> Path | None:
    """A file of the state directory: the same for all processes of a Pilot, however many there are."""
    return None if settings.state_dir is None else settings.state_dir / name


def _keeps_copies(settings: PilotSettings) -> bool:
    """Whether this process writes those files: they are all alike, so the first worker does; the others read them when
    they start (docs/adr/0013)."""
    return settings.worker <= 0
