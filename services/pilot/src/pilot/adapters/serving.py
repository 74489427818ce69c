"""A serving process: feed -> hub -> ADS. A Pilot without workers is one, and so is each worker."""

from dataclasses import dataclass

from meshcore.bus.connection import Bus, BusSettings
from meshcore.bus.feed import ConfigFeed
from meshcore.distribution.events import FullState
from meshcore.runtime import Runtime
from meshcore.tls import LiveIdentity

from pilot.adapters.answers import LocalAnswers
from pilot.adapters.hub import Hub
from pilot.adapters.servers import AdsServers
from pilot.core.admission import Admission
from pilot.core.debounce import Debounce
from pilot.core.engine import Affects, Compile, Engine
from pilot.settings import PilotSettings

NATS_USER_FILE = "nats-user.json"
ROOT_FILE = "root-cert.pem"


@dataclass
class Serving:
    """The parts of a serving process that others talk to."""

    hub: Hub
    answers: LocalAnswers
    servers: AdsServers
    bus: Bus | None


def bus_settings(settings: PilotSettings, name: str) -> BusSettings | None:
    """How this process reaches NATS; None without an address."""
    if not settings.nats_url:
        return None
    user = None if settings.identity_dir is None else settings.identity_dir / NATS_USER_FILE
    root = None if settings.identity_dir is None else settings.identity_dir / ROOT_FILE
    return BusSettings(settings.nats_url, user if user and user.exists() else None, root, name)


def process_name(settings: PilotSettings) -> str:
    """`pilot-1`, or `pilot-1/w0` for a worker of it."""
    return settings.instance if settings.worker < 0 else f"{settings.instance}/w{settings.worker}"


async def start_serving(runtime: Runtime[PilotSettings], compile_class: Compile, affects: Affects) -> Serving:
    """Start the parts; the ADS ports open once the first complete snapshot is there."""
    settings = runtime.settings
    name = process_name(settings)
    engine = Engine(
        compile_class,
        affects,
        Debounce(settings.debounce_after.total_seconds(), settings.debounce_max.total_seconds()),
    )
    hub = Hub(engine, Admission(settings.push_throttle, settings.max_requests_per_second))
    identity = None if settings.identity_dir is None else LiveIdentity.load(settings.identity_dir)
    runtime.readiness.expect("feed", "ads")
    runtime.spawn("hub", hub.run)
    bus = await _start_feed(runtime, hub, name)
    servers = AdsServers(hub, None, settings, identity)

    async def open_ports() -> None:
        await hub.has_state.wait()
        await servers.start()
        runtime.on_stop("ads", servers.stop)
        runtime.readiness.set("ads", True, f"mtls {servers.secure_port}, plaintext {servers.plaintext_port}")

    runtime.spawn("ads", open_ports, restart=False)
    return Serving(hub, LocalAnswers(hub, name), servers, bus)


async def _start_feed(runtime: Runtime[PilotSettings], hub: Hub, name: str) -> Bus | None:
    settings = runtime.settings
    address = bus_settings(settings, name)
    if address is None:
        runtime.readiness.set("feed", False, "PILOT_NATS_URL is not set")
        return None
    bus = Bus(address)
    runtime.on_stop("nats", bus.close)
    copy = None if settings.state_dir is None else settings.state_dir / f"{name.replace('/', '-')}-config.copy"

    async def follow() -> None:
        feed = ConfigFeed(bus, copy)
        async for event in feed.events():
            if isinstance(event, FullState):
                hub.take_state(event)
                runtime.readiness.set("feed", True, f"revision {event.revision}" + (" from disk" * event.from_disk))
            else:
                hub.take_changes(event)

    runtime.spawn("feed", follow)
    return bus
