"""Places as Envoy's priorities: which endpoints are preferred, and which take over when those fail. Pure.

Istio's rule: failover is on by default (MeshConfig), but acts only where outlier detection is configured, or where a
service's `trafficDistribution` asks for it. By locality, 0 is the same sub-zone, then zone, then region, then
everywhere else; with `failover` regions that are not named go last. By labels (`failoverPriority`) each further label
in which caller and endpoint agree is one nearer; `failover` then decides among equals.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from meshcore.model.destination_rule import LocalityLbSetting, OutlierDetection

from pilot.core.compiler.address_families import ONE_FAMILY, Families
from pilot.core.registry import Endpoint, Locality, Service
from pilot.core.registry.endpoint import HOST_LABEL, NETWORK_LABEL, REGION_LABEL, SUBZONE_LABEL, ZONE_LABEL
from pilot.core.registry.service import Distribution

_ELSEWHERE = 3
_NOT_NAMED = 4
_DISTANCES = _NOT_NAMED + 1
_SAME_ZONE = (NETWORK_LABEL, REGION_LABEL, ZONE_LABEL)
_NEAREST: Mapping[Distribution, LocalityLbSetting] = {
    Distribution.SAME_ZONE: LocalityLbSetting(enabled=True, failover_priority=_SAME_ZONE),
    Distribution.SAME_NODE: LocalityLbSetting(enabled=True, failover_priority=(*_SAME_ZONE, SUBZONE_LABEL, HOST_LABEL)),
}


class Placement(NamedTuple):
    """Where the client is and what follows from it; the empty one prefers nobody."""

    locality: Locality = Locality()
    failover: tuple[tuple[str, str], ...] = ()
    distribute: tuple[tuple[str, int], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    """Labels in the order in which they count, with the values that are near."""
    node: str | None = None
    """Only endpoints of this node are used at all."""
    families: Families = ONE_FAMILY
    names_peers: bool = False
    """Whether its metrics name the workloads that it calls."""


class Group(NamedTuple):
    """Endpoints of one place that are equally near: `level` counts by labels and is 0 without them."""

    level: int
    locality: Locality


class PlaceSetting(NamedTuple):
    """What says how places count for a cluster."""

    setting: LocalityLbSetting
    forced: bool
    """Failover acts without outlier detection too."""

    def has_weights(self, outlier_detection: OutlierDetection | None) -> bool:
        """Whether Envoy has to look at the weights of places."""
        setting = self.setting
        if setting.enabled is False:
            return False
        acts = self.forced or outlier_detection is not None
        return bool(setting.distribute) or (acts and bool(setting.failover or setting.failover_priority))


def place_setting(rule: LocalityLbSetting | None, service: Service, mesh: LocalityLbSetting) -> PlaceSetting:
    """The rule's setting, else the service's own, else the mesh's, each as a whole."""
    if rule is not None:
        return PlaceSetting(rule, forced=False)
    if service.distribution is not None:
        return PlaceSetting(_NEAREST[service.distribution], forced=True)
    return PlaceSetting(mesh, forced=False)


def placement(
    locality: Locality,
    outlier_detection: OutlierDetection | None,
    place: PlaceSetting,
    labels: Mapping[str, str],
) -> Placement:
    """Without a known locality nobody is preferred by it; `labels` are the client's, with those of its place."""
    settings = place.setting
    if settings.enabled is False:
        return Placement()
    acts = place.forced or outlier_detection is not None
    if settings.failover_priority and not settings.distribute:
        failover = tuple((item.from_, item.to) for item in settings.failover)
        return Placement(locality, failover, (), _wanted(settings.failover_priority, labels)) if acts else Placement()
    if not locality.region:
        return Placement()
    for item in settings.distribute:
        if covers(item.from_, locality):
            return Placement(locality, (), tuple(sorted(item.to.items())))
    if settings.distribute or not acts:
        return Placement()
    return Placement(locality, tuple((item.from_, item.to) for item in settings.failover))


def group_of(where: Placement, endpoint: Endpoint) -> Group:
    """How near an endpoint is by its labels: the number of labels from the first that differs on."""
    if not where.labels:
        return Group(0, endpoint.locality)
    own = endpoint.placed_labels
    differing = (index for index, (key, value) in enumerate(where.labels) if own.get(key, "") != value)
    return Group(len(where.labels) - next(differing, len(where.labels)), endpoint.locality)


def priorities(where: Placement, groups: Sequence[Group]) -> dict[Group, int]:
    """The priority of each group, without gaps."""
    raw = {group: _DISTANCES * group.level + _distance(where, group.locality) for group in groups}
    levels = {level: index for index, level in enumerate(sorted(set(raw.values())))}
    return {group: levels[level] for group, level in raw.items()}


def distributed(where: Placement, weights: dict[Group, int]) -> dict[Group, int]:
    """Weights of places by `distribute`; places that it does not name get nothing."""
    if not where.distribute:
        return weights
    result = dict.fromkeys(weights, 0)
    left = set(weights)
    for pattern, percent in where.distribute:
        matching = [group for group in sorted(left) if covers(pattern, group.locality)]
        left -= set(matching)
        total = sum(weights[group] for group in matching)
        for group in matching:
            result[group] = -(-weights[group] * percent // total)
    return result


def _wanted(keys: Iterable[str], labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """`label` wants the client's own value, `label=value` that one."""
    parts = (key.partition("=") for key in keys)
    return tuple((key, value if mark else labels.get(key, "")) for key, mark, value in parts)


def _distance(where: Placement, locality: Locality) -> int:
    own = where.locality
    if not own.region or where.distribute or (where.labels and not where.failover):
        return 0
    if locality.region != own.region:
        targets = [to for source, to in where.failover if source == own.region]
        return _ELSEWHERE if not targets or locality.region in targets else _NOT_NAMED
    return _first_difference(own[1:], locality[1:])


def _first_difference(own: Iterable[str], other: Iterable[str]) -> int:
    for distance, (mine, theirs) in zip((2, 1), zip(own, other, strict=True), strict=True):
        if mine != theirs:
            return distance
    return 0


def covers(pattern: str, locality: Locality) -> bool:
    """Whether a place lies within `region/zone/*` or `region`: parts that are not named do not matter."""
    wanted = pattern.split("/")
    for part, value in zip(wanted, locality, strict=False):
        if part == "*":
            return True
        if part != value:
            return False
    return True
