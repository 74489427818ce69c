"""Destinations with their weights and headers, and mirrors."""

from collections.abc import Sequence

from meshcore.model.virtual_service import Headers, HttpRoute, HttpRouteDestination, Percent, RouteDestination

from galley.core.rules.destination import check_destination
from galley.core.rules.headers import check_plain_name, check_value, check_written_name
from galley.core.rules.quantities import check_percent
from galley.core.rules.report import Report


def check_http_destinations(report: Report, path: str, routes: Sequence[HttpRouteDestination]) -> None:
    """Destinations, their weights, and the headers that each changes."""
    check_weights(report, path, routes)
    for index, route in enumerate(routes):
        check_header_operations(report, f"{path}[{index}].headers", route.headers)


def check_weights(report: Report, path: str, routes: Sequence[HttpRouteDestination | RouteDestination]) -> None:
    """No weight is negative, and several destinations have some weight together; they need not add up to 100."""
    for index, route in enumerate(routes):
        check_destination(report, f"{path}[{index}].destination", route.destination)
        if route.weight < 0:
            report.error(f"{path}[{index}].weight", f"invalid value {route.weight}", "0 or more")
    if len(routes) > 1 and not any(route.weight for route in routes):
        report.error(path, "the weights of all destinations are 0", "a weight above 0")


def check_header_operations(report: Report, path: str, headers: Headers | None) -> None:
    """Names that may be changed in that direction, values that Envoy can format."""
    if headers is None:
        return
    for direction, operations in (("request", headers.request), ("response", headers.response)):
        if operations is None:
            continue
        check_name = check_written_name if direction == "request" else check_plain_name
        for verb, values in (("set", operations.set), ("add", operations.add)):
            for name, value in values.items():
                where = f"{path}.{direction}.{verb}[{name}]"
                check_name(report, where, name)
                check_value(report, where, value)
        for index, name in enumerate(operations.remove):
            check_plain_name(report, f"{path}.{direction}.remove[{index}]", name)


def check_mirrors(report: Report, path: str, route: HttpRoute) -> None:
    """The old single mirror or the list, with percentages."""
    if route.mirror is not None:
        if route.mirrors:
            report.error(f"{path}.mirrors", "mirror and mirrors are both set", "one of them")
        check_destination(report, f"{path}.mirror", route.mirror)
    percent = route.mirror_percent if route.mirror_percent is not None else route.mirror_percent_legacy
    if percent is not None:
        report.warn(f"{path}.mirrorPercent", "deprecated: use mirrorPercentage")
        if percent > 100:
            report.error(f"{path}.mirrorPercent", f"{percent} is not a percentage", "0 to 100")
    _check_share(report, f"{path}.mirrorPercentage", route.mirror_percentage)
    for index, mirror in enumerate(route.mirrors):
        check_destination(report, f"{path}.mirrors[{index}].destination", mirror.destination)
        _check_share(report, f"{path}.mirrors[{index}].percentage", mirror.percentage)


def _check_share(report: Report, path: str, share: Percent | None) -> None:
    """0 to 100; of a mirror Istio takes any share, also one too small for Envoy, which is none."""
    if share is not None:
        check_percent(report, f"{path}.value", share.value)
