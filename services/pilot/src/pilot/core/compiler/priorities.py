"""Localities as Envoy's priorities: which endpoints are preferred, and which take over when those fail. Pure.

Istio's rule: failover is on by default (MeshConfig), but acts only where outlier detection is configured. 0 is the same
sub-zone, then zone, then region, then everywhere else; with `failover` regions that are not named go last.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from meshcore.model.destination_rule import LocalityLbSetting, OutlierDetection

from pilot.core.registry import Locality

_ELSEWHERE = 3
_NOT_NAMED = 4


class Placement(NamedTuple):
    """Where the client is and what follows from it; the empty one prefers nobody."""

    locality: Locality = Locality()
    failover: tuple[tuple[str, str], ...] = ()
    distribute: tuple[tuple[str, int], ...] = ()


def placement(
    locality: Locality,
    outlier_detection: OutlierDetection | None,
    rule: LocalityLbSetting | None,
    mesh: LocalityLbSetting,
) -> Placement:
    """The rule's setting stands for the mesh's as a whole; without a known locality nobody is preferred."""
    settings = rule or mesh
    if settings.enabled is False or not locality.region:
        return Placement()
    for item in settings.distribute:
        if _covers(item.from_, locality):
            return Placement(locality, (), tuple(sorted(item.to.items())))
    if settings.distribute or outlier_detection is None:
        return Placement()
    return Placement(locality, tuple((item.from_, item.to) for item in settings.failover))


def priorities(where: Placement, localities: Sequence[Locality]) -> dict[Locality, int]:
    """The priority of each locality, without gaps."""
    if not where.locality.region or where.distribute:
        return dict.fromkeys(localities, 0)
    raw = {locality: _distance(where, locality) for locality in localities}
    levels = {level: index for index, level in enumerate(sorted(set(raw.values())))}
    return {locality: levels[level] for locality, level in raw.items()}


def distributed(where: Placement, weights: dict[Locality, int]) -> dict[Locality, int]:
    """Locality weights by `distribute`; localities that it does not name get nothing."""
    if not where.distribute:
        return weights
    result = dict.fromkeys(weights, 0)
    left = set(weights)
    for pattern, percent in where.distribute:
        matching = [locality for locality in sorted(left) if _covers(pattern, locality)]
        left -= set(matching)
        total = sum(weights[locality] for locality in matching)
        for locality in matching:
            result[locality] = -(-weights[locality] * percent // total)
    return result


def _distance(where: Placement, locality: Locality) -> int:
    own = where.locality
    if locality.region != own.region:
        targets = [to for source, to in where.failover if source == own.region]
        return _ELSEWHERE if not targets or locality.region in targets else _NOT_NAMED
    return _first_difference(own[1:], locality[1:])


def _first_difference(own: Iterable[str], other: Iterable[str]) -> int:
    for distance, (mine, theirs) in zip((2, 1), zip(own, other, strict=True), strict=True):
        if mine != theirs:
            return distance
    return 0


def _covers(pattern: str, locality: Locality) -> bool:
    wanted = pattern.split("/")
    for part, value in zip(wanted, locality, strict=False):
        if part == "*":
            return True
        if part != value:
            return False
    return True
