"""What is wrong with what Pilots serve: all of them known, config that is current, bounds that are alike. Pure."""

from collections.abc import Iterator
from datetime import datetime

from meshctl.core.certificates import moment
from meshctl.core.check.finding import Finding, Level, listed
from meshctl.core.check.observed import PILOT, Document, Observed

_BUS = "NATS runs and Pilot reaches it (PILOT_NATS_URL); changes that were made meanwhile come by themselves then"
_CEILINGS = {"admission_limit": "PILOT_PUSH_THROTTLE", "new_streams_per_second": "PILOT_MAX_REQUESTS_PER_SECOND"}


def pilot_findings(observed: Observed) -> Iterator[Finding]:
    """Every Pilot that is there, every process of each."""
    for service in observed.of_kind(PILOT):
        if service.readiness.known and not service.in_force.known:
            yield Finding(
                Level.ERROR,
                "NotKnown",
                service.name,
                f"it did not say what it has in force: {service.in_force.fault}",
                "it answers, and knows the question: a Pilot of an older version does not",
                passing=True,
            )
    if observed.missing:
        yield Finding(
            Level.ERROR,
            "PilotSilent",
            listed(observed.missing),
            "these processes of Pilot did not answer in time; what is told of proxies is without theirs",
            "they answer within PILOT_QUERY_DEADLINE, or are gone for good",
            passing=True,
        )
    for row in observed.processes:
        yield from _worker(row)
        yield from _config(row, observed)
        yield from _waiting(row)
    yield from _unlike(observed)


def age(row: Document, now: datetime) -> str:
    """How old the config of a process is: since Galley said that it is the newest, or the copy was written."""
    as_of = row["config"]["as_of"]
    return "unknown age" if as_of is None else f"{lasting((now - moment(as_of)).total_seconds())} old"


def lasting(seconds: float) -> str:
    """A time in its two largest units."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole % 86400 // 3600, whole % 3600 // 60
    if days:
        return f"{days}d{hours}h"
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{whole % 60}s" if minutes else f"{whole}s"


def _worker(row: Document) -> Iterator[Finding]:
    """The admin port of a Pilot says of its workers only that one is not ready."""
    waits = [f"{name}{': ' * bool(detail)}{detail}" for name, detail in sorted(row["waits_for"].items())]
    if waits and "/" in row["pilot"]:
        yield Finding(
            Level.ERROR,
            "WorkerNotReady",
            row["pilot"],
            f"this worker is not ready, and waits for {'; '.join(waits)}",
            "each condition holds; the log of its Pilot says what fails",
            passing=True,
        )


def _config(row: Document, observed: Observed) -> Iterator[Finding]:
    config, name = row["config"], row["pilot"]
    serves = f"revision {config['revision']}, {age(row, observed.at)}"
    if config["source"] == "none":
        yield Finding(
            Level.ERROR, "NoConfig", name, "it has no config, and does not listen for proxies", _BUS, passing=True
        )
    elif config["source"] == "disk":
        yield Finding(
            Level.ERROR,
            "ConfigFromDisk",
            name,
            f"it serves its copy on disk of an earlier run ({serves}), for it has seen nothing of "
            + ("Galley" if config["connected"] else "NATS"),
            _BUS if not config["connected"] else "Galley runs and publishes",
            passing=True,
        )
    elif not config["connected"]:
        yield Finding(
            Level.ERROR,
            "FeedDisconnected",
            name,
            f"it is not connected to NATS, and serves what it had ({serves})",
            _BUS,
            passing=True,
        )
    elif not config["in_sync"]:
        yield Finding(
            Level.ERROR,
            "ConfigNotConfirmed",
            name,
            f"nobody tells it that its config is the newest ({serves})",
            "Galley runs, publishes, and repeats every few seconds what is newest",
            passing=True,
        )
    published = (observed.publisher.document or {}).get("published", 0)
    if config["source"] != "none" and config["revision"] < published:
        yield Finding(
            Level.ERROR,
            "ConfigBehind",
            name,
            f"it serves revision {config['revision']}, Galley has published {published}",
            "it takes a revision within a second; its log says what it refused",
            passing=True,
        )


def _waiting(row: Document) -> Iterator[Finding]:
    waiting = row["proxies"]["waiting"]
    if waiting:
        tight = [
            f"{one['name']} is {one['value']:g} ({one['reason']})"
            for one in row["bounds"]
            if one["name"] in _CEILINGS and one["value"] is not None
        ]
        named = [variable for variable in _CEILINGS.values() if any(f"{variable}=" in text for text in tight)]
        yield Finding(
            Level.WARNING,
            "StreamsWait",
            row["pilot"],
            f"{waiting} new streams wait to be served their first config: {'; '.join(tight)}",
            f"a higher ceiling, or none ({' and '.join(named)})" if named else "more workers, or more Pilots",
            passing=True,
        )


def _unlike(observed: Observed) -> Iterator[Finding]:
    """Bounds come from each Pilot's own environment; where they differ proxies are served differently."""
    # The limit of admission follows the load of each process.
    values: dict[str, dict[float | None, list[str]]] = {}
    for row in observed.processes:
        for bound in row["bounds"]:
            if bound["name"] != "admission_limit":
                values.setdefault(bound["name"], {}).setdefault(bound["value"], []).append(row["pilot"])
    for name, found in values.items():
        if len(found) > 1:
            told = "; ".join(
                f"{'none' if value is None else format(value, 'g')}: {listed(names)}" for value, names in found.items()
            )
            yield Finding(
                Level.WARNING,
                "BoundsDiffer",
                "pilot",
                f"{name} is not the same everywhere ({told})",
                "all Pilots are started with the same environment and the same number of workers",
            )
