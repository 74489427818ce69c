"""What a control plane answered when it was asked. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Document = Mapping[str, Any]
PILOT = "pilot"


@dataclass(frozen=True, slots=True)
class Answer:
    """A document of an admin API, or why there is none."""

    document: Any = None
    fault: str = "not asked"

    @property
    def known(self) -> bool:
        """Whether there is a document."""
        return self.document is not None


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the control plane: `pilot-2` is of the kind `pilot`. `admin` is empty where nothing runs."""

    name: str
    admin: str
    readiness: Answer = field(default_factory=Answer)
    """`/readyz`."""
    version: Answer = field(default_factory=Answer)
    """`/version`."""
    in_force: Answer = field(default_factory=Answer)
    """`/api/v1/in-force`, of a Pilot."""
    ours: bool = True
    """False of a server of others (NATS), whose version is its own."""

    @property
    def kind(self) -> str:
        """The service that it is an instance of."""
        return self.name.split("-", maxsplit=1)[0]

    @property
    def ready(self) -> bool:
        """Whether it says so."""
        return self.readiness.known and bool(self.readiness.document.get("ready"))

    @property
    def release(self) -> str:
        """Its version, empty while it is not known."""
        return str(self.version.document.get("version", "")) if self.version.known else ""


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at a control plane. What only one service can say is an `Answer` of its own."""

    client: str
    """The version of the command line."""
    at: datetime
    services: tuple[Service, ...]
    supervised: bool = True
    """False where services of an embedded stack run and nobody looks after them."""
    workloads: tuple[tuple[str, str], ...] = ()
    """Those that the supervisor runs, with their states."""
    proxies: Answer = field(default_factory=Answer)
    """Pilot's `/debug/syncz`."""
    publisher: Answer = field(default_factory=Answer)
    """Galley's `/debug/publisherz`."""
    sources: Answer = field(default_factory=Answer)
    """Galley's `/debug/sourcez`."""
    injection: Answer = field(default_factory=Answer)
    """The injector's `/debug/inject`."""
    authority: Answer = field(default_factory=Answer)
    """Citadel's `/api/v1/ca`."""
    holders: Answer = field(default_factory=Answer)
    """Citadel's `/api/v1/ca/holders`."""
    certificates: Answer = field(default_factory=Answer)
    """Citadel's `/api/v1/certificates`, all of it."""
    rotation: Answer = field(default_factory=Answer)
    """Citadel's `/api/v1/ca/rotation`; none where the authority is plugged in."""

    def of_kind(self, kind: str) -> Iterator[Service]:
        """The instances of a service."""
        return (one for one in self.services if one.kind == kind)

    def answers(self, kind: str) -> bool:
        """Whether an instance of the service can be asked at all."""
        return any(one.readiness.known for one in self.of_kind(kind))

    @property
    def processes(self) -> list[Document]:
        """What every process of every Pilot has in force, by name; each once, whoever told it."""
        told: dict[str, Document] = {}
        for one in self.of_kind(PILOT):
            if one.in_force.known:
                told |= {row["pilot"]: row for row in one.in_force.document["items"]}
        return [told[name] for name in sorted(told)]

    @property
    def missing(self) -> list[str]:
        """Processes of Pilots that nobody could ask."""
        told = {row["pilot"] for row in self.processes}
        named = {
            name
            for one in self.of_kind(PILOT)
            if one.in_force.known
            for name in one.in_force.document["instances_missing"]
        }
        return sorted(name for name in named if not any(one == name or one.startswith(f"{name}/") for one in told))
