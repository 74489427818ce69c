"""Locality load balancing: which localities share traffic, and which take over."""

from collections.abc import Iterable

from meshcore.model.destination_rule import Failover, LocalityLbSetting, ZoneAwareLbSetting

from galley.core.rules.report import Report

_TOPOLOGY_LABELS = frozenset(
    ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")
)


def check_locality(report: Report, path: str, setting: LocalityLbSetting, *, has_outliers: bool | None = None) -> None:
    """Shares add up to 100, failover goes elsewhere; without outlier detection it never happens (warned of)."""
    if setting.distribute and setting.failover:
        report.error(path, "distribute and failover are both set", "one of them")
    has_topology = any(item in _TOPOLOGY_LABELS for item in setting.failover_priority)
    if setting.failover and has_topology:
        report.error(path, "failoverPriority has topology labels and failover is set", "one of them")
    sources = [item.from_ for item in setting.distribute]
    _check_localities(report, f"{path}.distribute", sources, ordered=True)
    for index, item in enumerate(setting.distribute):
        where = f"{path}.distribute[{index}].to"
        _check_localities(report, where, item.to, ordered=False)
        for name, weight in item.to.items():
            if not 1 <= weight <= 100:
                report.error(f"{where}[{name}]", f"{weight} is not a share", "1 to 100")
        if sum(item.to.values()) != 100:
            report.error(where, f"the shares add up to {sum(item.to.values())}", "100")
    _check_failover(report, path, setting.failover)
    _warn_without_outliers(report, path, bool(setting.failover or setting.failover_priority), has_outliers)


def check_zone_aware(
    report: Report, path: str, setting: ZoneAwareLbSetting, *, has_outliers: bool | None = None
) -> None:
    """As locality failover, but priorities may not be topology labels."""
    for index, item in enumerate(setting.failover_priority):
        if item in _TOPOLOGY_LABELS:
            report.error(f"{path}.failoverPriority[{index}]", f"{item!r} is a topology label", "another label")
    if setting.min_cluster_size is not None and setting.min_cluster_size < 1:
        report.error(f"{path}.minClusterSize", f"{setting.min_cluster_size} is too small", "1 or more")
    _check_failover(report, path, setting.failover)
    _warn_without_outliers(report, path, bool(setting.failover or setting.failover_priority), has_outliers)


def _warn_without_outliers(report: Report, path: str, fails_over: bool, has_outliers: bool | None) -> None:
    if fails_over and has_outliers is False:
        report.warn(path, "failover happens only with outlierDetection")


def _check_failover(report: Report, path: str, failover: tuple[Failover, ...]) -> None:
    for index, item in enumerate(failover):
        where = f"{path}.failover[{index}]"
        if item.from_ == item.to:
            report.error(where, f"{item.from_!r} fails over to itself", "another region")
        for name, region in (("from", item.from_), ("to", item.to)):
            if "/" in region:
                report.error(f"{where}.{name}", f"{region!r} is more than a region", "a region")
            if "*" in region:
                report.error(f"{where}.{name}", f"{region!r} has a wildcard", "a region")


def _check_localities(report: Report, path: str, localities: Iterable[str], *, ordered: bool) -> None:
    """Each `region/zone/subzone` with at most one `*`, at its end, and none inside another; in a list (`ordered`) a
    wider one may follow the narrower ones, as the first that fits counts."""
    known: list[list[str]] = []
    for locality in localities:
        parts = locality.split("/", 2)
        if any(not part for part in parts):
            report.error(path, f"{locality!r} has an empty part", "region/zone/subzone")
        if locality.count("*") > 1 or ("*" in locality and not locality.endswith("*")):
            report.error(path, f"{locality!r} has a wildcard in the wrong place", "one '*', at the end")
        if any(_covers(other, parts) or (not ordered and _covers(parts, other)) for other in known):
            report.error(path, f"{locality!r} overlaps another locality", "localities that do not overlap")
        known.append(parts)


def _covers(one: list[str], other: list[str]) -> bool:
    """Whether every part that `other` names is the same in `one`, or any."""
    return all(left in ("*", right) for left, right in zip((*one, "*", "*"), other, strict=False))
