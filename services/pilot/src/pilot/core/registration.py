"""Registration of workloads: what an entry says, who may change it, and when one expires. Pure.

An entry belongs to one connection of one Pilot process. It goes at once when that stream ends in good order. When it
broke, or its owner stopped renewing its heartbeat, a grace begins, after which it goes too, unless a newer connection
has taken it over. Two rules keep a recovery from de-registering the mesh: no grace begins before this process has been
stable for a while, and when more than half of a group's workloads would go together they are kept and marked.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from meshcore.errors import ErrorCode, MeshError
from meshcore.model import WorkloadGroup

from pilot.core.proxy import Proxy, ProxyType
from pilot.core.registry import Locality, RegisteredWorkload
from pilot.core.registry.endpoint import DISABLED_TLS, TLS_MODE_LABEL

Name = tuple[str, str]
"""(namespace, name) of an entry."""
MOST_NAME = 253
"""Characters of an entry's name; of a longer one the last count, as in Istio."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered workload, as it is kept in the bucket `mesh-endpoints`."""

    namespace: str
    name: str
    group: str
    address: str
    owner: str
    """The Pilot process that holds its stream; its heartbeat is the lease."""
    connection: int
    """Grows with every connection anywhere (nanoseconds of the epoch when it began)."""
    labels: Mapping[str, str]
    service_account: str = ""
    locality: tuple[str, str, str] = ("", "", "")
    network: str = ""
    cluster: str = ""
    healthy: bool = True
    by_agent: bool = True
    """Whether an agent's own stream holds it; an Envoy's counts only where no agent's exists."""
    kept: bool = False
    """Expired, and kept because too many of its group expired together."""

    @property
    def key(self) -> Name:
        """Namespace and name."""
        return self.namespace, self.name

    def workload(self) -> RegisteredWorkload:
        """The entry as the registry takes it."""
        return RegisteredWorkload(
            name=self.name,
            namespace=self.namespace,
            group=self.group,
            address=self.address,
            labels=self.labels,
            service_account=self.service_account,
            locality=Locality(*self.locality),
            network=self.network,
            cluster=self.cluster,
            healthy=self.healthy,
        )


def find_group(proxy: Proxy, groups: Mapping[Name, WorkloadGroup]) -> WorkloadGroup:
    """The group that a node names: FAILED_PRECONDITION when there is none, PERMISSION_DENIED for the wrong account."""
    group = groups.get((proxy.namespace, proxy.auto_register_group))
    if group is None:
        raise MeshError(
            ErrorCode.FAILED_PRECONDITION,
            f"{proxy.id} registers with WorkloadGroup {proxy.namespace}/{proxy.auto_register_group}, "
            "which does not exist",
        )
    account = group.spec.template.service_account
    if account and proxy.service_account and account != proxy.service_account:
        raise MeshError(
            ErrorCode.PERMISSION_DENIED,
            f"{proxy.id} has service account {proxy.service_account}, its WorkloadGroup is for {account}",
        )
    return group


def entry_of(proxy: Proxy, owner: str, connection: int, *, healthy: bool) -> Entry:
    """What a proxy registers: one entry per group and address."""
    address = proxy.instance_ips[0]
    parts = (proxy.auto_register_group, address.replace(":", "-"), proxy.network)
    labels = dict(proxy.labels)
    if proxy.type is ProxyType.ROUTER:
        labels.setdefault(TLS_MODE_LABEL, DISABLED_TLS)  # what a gateway's port speaks is its Gateway's to say
    return Entry(
        namespace=proxy.namespace,
        name="-".join(part for part in parts if part)[-MOST_NAME:].lstrip("-."),
        group=proxy.auto_register_group,
        address=address,
        owner=owner,
        connection=connection,
        labels=labels,
        service_account=proxy.service_account,
        locality=(proxy.locality.region, proxy.locality.zone, proxy.locality.sub_zone),
        network=proxy.network,
        cluster=proxy.cluster,
        healthy=healthy,
        by_agent=proxy.is_agent,
    )


def may_replace(entry: Entry, existing: Entry | None) -> bool:
    """Whether a new registration takes the place of what is there: a newer connection does, an Envoy's never an
    agent's."""
    if existing is None:
        return True
    if existing.by_agent and not entry.by_agent:
        return False
    return entry.connection >= existing.connection or (entry.by_agent and not existing.by_agent)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look over all entries decided."""

    expire: tuple[Entry, ...] = ()
    keep: tuple[Entry, ...] = ()
    """Entries to be marked as kept."""
    unmark: tuple[Entry, ...] = ()
    """Entries that were kept and are held by a living stream or owner again."""


class Expiry:
    """Which entries are in their grace. Times are seconds of this process's monotonic clock."""

    def __init__(self, owner: str, *, grace: float = 10.0, stable_for: float = 30.0) -> None:
        self._owner = owner
        self._grace = grace
        self._stable_for = stable_for
        self._lost: dict[Name, tuple[int, float]] = {}

    def look(
        self,
        entries: Iterable[Entry],
        living: Callable[[Entry], bool],
        stable_since: float | None,
        now: float,
    ) -> Verdict:
        """Judge every entry.

        `living` says whether the entry's connection (when it is ours) is open, or its owner's heartbeat fresh.
        `stable_since` is when this process became ready, in sync and free of backlog; None while it is not.
        """
        entries = tuple(entries)
        alive = {entry.key for entry in entries if living(entry)}
        unmark = tuple(entry for entry in entries if entry.kept and entry.key in alive)
        lost = {}
        for entry in entries:
            if entry.key not in alive:
                known = self._lost.get(entry.key)
                since = known[1] if known is not None and known[0] == entry.connection else now
                lost[entry.key] = (entry.connection, since)
        self._lost = lost
        if stable_since is None or now < stable_since + self._stable_for:
            return Verdict(unmark=unmark)
        earliest = stable_since + self._stable_for
        due = [e for e in entries if e.key in lost and now >= max(lost[e.key][1], earliest) + self._grace]
        expire: list[Entry] = []
        keep: list[Entry] = []
        for entry in due:
            group = [other for other in entries if (other.namespace, other.group) == (entry.namespace, entry.group)]
            going = sum(other.key in lost for other in group)
            # One workload that goes alone is no mass expiry, even if it is the only one of its group.
            if going > 1 and going * 2 > len(group):
                keep.append(entry)
            else:
                expire.append(entry)
        return Verdict(tuple(expire), tuple(entry for entry in keep if not entry.kept), unmark)


def with_mark(entry: Entry, *, kept: bool) -> Entry:
    """The entry marked as kept, or no longer."""
    return replace(entry, kept=kept)
