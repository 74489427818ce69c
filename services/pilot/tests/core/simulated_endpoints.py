"""Which endpoints of a cluster may get a request, with which share: health, places and balancing, as Envoy has them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

from meshcore.xds import registry
from meshcore.xds.resource import ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE

OVERPROVISIONED = 1.4
"""A priority with 5 of 7 healthy endpoints still takes everything."""
_PANIC = 50.0
_LEAST_REQUEST, _RING_HASH, _MAGLEV = 1, 2, 5
_DEFAULT_FAILURES = 5
_MOST_EJECTED = 10
_SOON = 10.0


class Chosen(NamedTuple):
    """One endpoint and its share of the requests (of 1)."""

    host: Any
    share: float
    priority: int

    @property
    def address(self) -> str:
        """The address and the port."""
        found = self.host.endpoint.address.socket_address
        return f"{found.address}:{found.port_value}"


@dataclass
class Ejections:
    """What outlier detection remembers, by cluster and endpoint: failures in a row, and who is ejected for how long."""

    failures: dict[tuple[str, str, str], int] = field(default_factory=dict)
    ejected: dict[tuple[str, str], float] = field(default_factory=dict)

    def time_passes(self) -> None:
        """Who is ejected for a short time comes back."""
        self.ejected = {key: seconds for key, seconds in self.ejected.items() if seconds > _SOON}

    def seen(self, cluster: Any, address: str, kind: str, count: int, hosts: int) -> None:
        """`count` requests in a row at one endpoint; `kind` is `good`, `5xx`, `gateway` or `local`."""
        detection = cluster.outlier_detection
        if not count or not cluster.HasField("outlier_detection"):
            return
        split = detection.split_external_local_origin_errors
        counters = {"5xx": kind in ("5xx", "gateway") or (kind == "local" and not split)}
        counters["gateway"] = kind == "gateway" or (kind == "local" and not split)
        counters["local"] = kind == "local" and split
        limits = {
            "5xx": detection.consecutive_5xx,
            "gateway": detection.consecutive_gateway_failure,
            "local": detection.consecutive_local_origin_failure,
        }
        enforced = {
            "5xx": _value(detection, "enforcing_consecutive_5xx", 100),
            "gateway": _value(detection, "enforcing_consecutive_gateway_failure", 0),
            "local": _value(detection, "enforcing_consecutive_local_origin_failure", 100),
        }
        for name, failed in counters.items():
            key = (cluster.name, address, name)
            self.failures[key] = self.failures.get(key, 0) + count if failed else 0
            if enforced[name] and self.failures[key] >= (limits[name].value or _DEFAULT_FAILURES):
                self._eject(cluster, address, hosts)

    def _eject(self, cluster: Any, address: str, hosts: int) -> None:
        detection = cluster.outlier_detection
        ejected = sum(1 for name, _ in self.ejected if name == cluster.name)
        most = _value(detection, "max_ejection_percent", _MOST_EJECTED)
        if (cluster.name, address) in self.ejected or 100.0 * (ejected + 1) / hosts > most:
            return
        seconds = detection.base_ejection_time.ToTimedelta().total_seconds()
        self.ejected[cluster.name, address] = seconds or 30.0


def _value(message: Any, name: str, default: int) -> int:
    return int(getattr(message, name).value) if message.HasField(name) else default


def cluster_of(resources: ResourceSet, name: str) -> Any:
    """Its message; None when there is none."""
    packed = resources.of_type(CLUSTER_TYPE).get(name)
    return None if packed is None else registry.parse(CLUSTER_TYPE, packed.body)


def endpoints_of(
    resources: ResourceSet, cluster: Any, ejections: Ejections, tried_priorities: frozenset[int] = frozenset()
) -> list[Chosen]:
    """Who may get the next request, each with its share; `tried_priorities` are passed over while there are others."""
    assignment = resources.of_type(ENDPOINT_TYPE).get(cluster.name)
    message = registry.parse(ENDPOINT_TYPE, assignment.body) if assignment is not None else cluster.load_assignment
    groups = list(message.endpoints)
    by_locality = cluster.common_lb_config.HasField("locality_weighted_lb_config")
    found: list[Chosen] = []
    for priority, load, panics in _loads(cluster, groups, ejections, tried_priorities):
        mine = [(group, _usable(cluster, group, ejections, panics)) for group in groups if group.priority == priority]
        used = [(group, hosts) for group, hosts in mine if hosts]
        total = sum(_group_weight(group, hosts, by_locality) for group, hosts in used)
        for group, hosts in used:
            within = sum(map(_weight, hosts))
            share = _group_weight(group, hosts, by_locality) / total
            found += [Chosen(host, load * share * _weight(host) / within, priority) for host in hosts]
    return found


def _loads(
    cluster: Any, groups: Sequence[Any], ejections: Ejections, tried: frozenset[int]
) -> Iterator[tuple[int, float, bool]]:
    """Priority, its load (of 1), and whether it panics: it has so few healthy endpoints that all of them are used."""
    options = cluster.common_lb_config
    least = options.healthy_panic_threshold.value if options.HasField("healthy_panic_threshold") else _PANIC
    health: dict[int, float] = {}
    for priority in sorted({group.priority for group in groups}):
        hosts = [host for group in groups if group.priority == priority for host in group.lb_endpoints]
        alive = [host for host in hosts if _is_alive(cluster, host, ejections)]
        if hosts:
            health[priority] = 100.0 * len(alive) / len(hosts)
    left = {priority: share for priority, share in health.items() if priority not in tried}
    left = left if any(left.values()) else health
    if not any(left.values()):
        if health and least > 0:
            yield min(health), 1.0, True
        return
    whole = min(100.0, sum(min(100.0, share * OVERPROVISIONED) for share in left.values()))
    rest = 1.0
    for priority, share in left.items():
        load = min(rest, min(100.0, share * OVERPROVISIONED) / whole)
        rest -= load
        if load > 0:
            yield priority, load, whole < 100.0 and share < least


def _is_alive(cluster: Any, host: Any, ejections: Ejections) -> bool:
    address = host.endpoint.address.socket_address
    gone = (cluster.name, f"{address.address}:{address.port_value}") in ejections.ejected
    return host.health_status in (0, 1) and not gone


def _usable(cluster: Any, group: Any, ejections: Ejections, panics: bool) -> list[Any]:
    return [host for host in group.lb_endpoints if panics or _is_alive(cluster, host, ejections)]


def _weight(host: Any) -> int:
    return host.load_balancing_weight.value or 1


def _group_weight(group: Any, hosts: Sequence[Any], by_locality: bool) -> float:
    return group.load_balancing_weight.value if by_locality else sum(map(_weight, hosts))


def is_hashed(cluster: Any) -> bool:
    """Whether a key chooses the endpoint: which one is not known, but it is the same for the same key."""
    return cluster.lb_policy in (_RING_HASH, _MAGLEV)


def by_key(chosen: Sequence[Chosen], keys: Sequence[str]) -> list[Chosen]:
    """The endpoints to which some choice by key leads, in which none is left out when there are many keys."""
    counts: dict[int, int] = {}
    for key in keys:
        index = crc32(key.encode()) % len(chosen)
        counts[index] = counts.get(index, 0) + 1
    return [chosen[index]._replace(share=count / len(keys)) for index, count in sorted(counts.items())]


def least_busy(cluster: Any, chosen: Sequence[Chosen], busy: Mapping[str, int]) -> list[Chosen]:
    """Two endpoints by chance, and the less busy of them, where all have the same weight."""
    weights = {_weight(item.host) for item in chosen}
    if cluster.lb_policy != _LEAST_REQUEST or not busy or len(weights) != 1:
        return list(chosen)
    loads = [busy.get(item.address, 0) for item in chosen]
    size = len(chosen)
    shares = [0.0] * size
    for first in range(size):
        for second in range(size):
            least = min((first, second), key=lambda index: loads[index])
            for index in (least, first + second - least) if loads[first] == loads[second] else (least, least):
                shares[index] += 0.5 / size**2
    return [item._replace(share=share) for item, share in zip(chosen, shares, strict=True)]
