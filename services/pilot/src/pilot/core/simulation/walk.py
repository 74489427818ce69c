"""The words of an explanation: steps, near misses, routes. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from meshcore.xds import registry
from meshcore.xds.origin import Origins

from pilot.core.compiler.http_filters import FAULT
from pilot.core.simulation.calls import Outcome


@dataclass(frozen=True)
class Miss:
    """A route that stood before the one that matches, and the first of its conditions that did not hold."""

    route: str
    why: str
    configs: Origins = ()


@dataclass(frozen=True)
class Step:
    """One decision on the way of a request: where (listener, route...), what, and by which objects."""

    at: str
    text: str
    configs: Origins = ()
    misses: tuple[Miss, ...] = ()
    problem: bool = False
    """Whether this is why the request fails."""


def listed(items: Iterable[str], most: int = 3) -> str:
    """The first few, and how many more there are."""
    found = list(items)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more


def route_label(route: Any) -> str:
    """A route by its name and what it matches."""
    match = route.match
    kind = match.WhichOneof("path_specifier")
    path = match.safe_regex.regex if kind == "safe_regex" else str(getattr(match, kind)) if kind else ""
    shown = {"prefix": f"{path}*", "path_separated_prefix": f"{path}/*", "safe_regex": f"~{path}"}.get(kind or "", path)
    headers = [header.name for header in match.headers]
    conditions = f" with {listed(headers)}" if headers else ""
    return f"{route.name or 'unnamed'} ({shown}{conditions})"


def fault_of(route: Any) -> tuple[float, int]:
    """Which percentage of the requests an injected fault answers, and with what status."""
    if FAULT not in route.typed_per_filter_config:
        return 0.0, 0
    fault: Any = registry.unpack(route.typed_per_filter_config[FAULT])
    abort = fault.abort
    parts = {0: 100, 1: 10_000, 2: 1_000_000}[abort.percentage.denominator]
    return 100.0 * abort.percentage.numerator / parts, abort.http_status


def action_of(route: Any, outcome: Outcome) -> str:
    """What a route does with a request."""
    if route.HasField("redirect"):
        return f"redirects with {outcome.status} to {outcome.location}"
    if route.HasField("direct_response"):
        return f"answers {route.direct_response.status} itself"
    action = route.route
    shares = sorted(outcome.shares.items(), key=lambda item: (-item[1], item[0]))
    parts = ", ".join(f"{share:g} % to {name}" for name, share in shares)
    extras = []
    if action.prefix_rewrite or action.HasField("regex_rewrite"):
        extras.append("the path is rewritten")
    if action.host_rewrite_literal:
        extras.append(f"the host becomes {action.host_rewrite_literal}")
    if action.timeout.ToMilliseconds():
        extras.append(f"timeout {action.timeout.ToMilliseconds() / 1000:g} s")
    if action.HasField("retry_policy"):
        extras.append(f"{action.retry_policy.num_retries.value} retries")
    if action.request_mirror_policies:
        extras.append("mirrored to " + listed(mirror.cluster for mirror in action.request_mirror_policies))
    extras += [
        f"{share:g} % are answered {status} by an injected fault" for share, status in [fault_of(route)] if share
    ]
    return parts + "".join(f"; {extra}" for extra in extras)
