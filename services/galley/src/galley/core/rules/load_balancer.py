"""How an endpoint is chosen: hash keys, localities, slow start."""

from meshcore.model.destination_rule import ConsistentHash, HttpCookie, LoadBalancerSettings, Warmup

from galley.core.rules.headers import check_one_line, is_token
from galley.core.rules.locality import check_locality, check_zone_aware
from galley.core.rules.quantities import check_duration
from galley.core.rules.report import Report

_LARGEST_MAGLEV = 5_000_011


def check_load_balancer(report: Report, path: str, balancer: LoadBalancerSettings, *, has_outliers: bool) -> None:
    """Hash keys, localities and slow start."""
    if balancer.locality_lb_setting is not None and balancer.zone_aware_lb_setting is not None:
        report.error(path, "localityLbSetting and zoneAwareLbSetting are both set", "one of them")
    if balancer.consistent_hash is not None:
        _check_hash(report, f"{path}.consistentHash", balancer.consistent_hash)
    if balancer.locality_lb_setting is not None:
        check_locality(report, f"{path}.localityLbSetting", balancer.locality_lb_setting, has_outliers=has_outliers)
    if balancer.zone_aware_lb_setting is not None:
        where = f"{path}.zoneAwareLbSetting"
        check_zone_aware(report, where, balancer.zone_aware_lb_setting, has_outliers=has_outliers)
    check_duration(report, f"{path}.warmupDurationSecs", balancer.warmup_duration_secs)
    if balancer.warmup is not None:
        _check_warmup(report, f"{path}.warmup", balancer.warmup)


def _check_warmup(report: Report, path: str, warmup: Warmup) -> None:
    check_duration(report, f"{path}.duration", warmup.duration)
    if warmup.minimum_percent is not None and not 0 <= warmup.minimum_percent <= 100:
        report.error(f"{path}.minimumPercent", f"{warmup.minimum_percent:g} is not a percentage", "0 to 100")
    if warmup.aggression is not None and warmup.aggression <= 0:
        report.error(f"{path}.aggression", f"{warmup.aggression:g} is not positive", "more than 0")


def _check_hash(report: Report, path: str, hashing: ConsistentHash) -> None:
    if hashing.http_header_name and not is_token(hashing.http_header_name):
        report.error(f"{path}.httpHeaderName", f"{hashing.http_header_name!r} is not the name of a header")
    check_one_line(report, f"{path}.httpQueryParameterName", hashing.http_query_parameter_name or "")
    if hashing.http_cookie is not None:
        _check_cookie(report, f"{path}.httpCookie", hashing.http_cookie)
    if hashing.minimum_ring_size:
        report.warn(f"{path}.minimumRingSize", "deprecated: use ringHash.minimumRingSize")
        if hashing.ring_hash is not None or hashing.maglev is not None:
            report.error(f"{path}.minimumRingSize", "set together with ringHash or maglev", "one of them")
    if hashing.maglev is not None:
        size = hashing.maglev.table_size
        if not 0 < size < _LARGEST_MAGLEV or not _is_prime(size):
            report.error(f"{path}.maglev.tableSize", f"{size} is no table size", f"a prime below {_LARGEST_MAGLEV}")


def _check_cookie(report: Report, path: str, cookie: HttpCookie) -> None:
    if not cookie.name:
        report.error(f"{path}.name", "required", "the cookie's name")
    check_one_line(report, f"{path}.name", cookie.name)
    check_one_line(report, f"{path}.path", cookie.path)
    seen: set[str] = set()
    for index, attribute in enumerate(cookie.attributes):
        where = f"{path}.attributes[{index}].name"
        if not attribute.name:
            report.error(where, "required", "the attribute's name")
        elif attribute.name in seen:
            report.error(where, f"{attribute.name!r} is there twice")
        seen.add(attribute.name)


def _is_prime(number: int) -> bool:
    if number < 4:  # Envoy counts 1 as prime
        return number > 0
    if number % 2 == 0:
        return False
    return all(number % divisor for divisor in range(3, int(number**0.5) + 1, 2))
