"""Rules that no request can reach, because an earlier one takes all of theirs (warnings, as IST0130 and IST0131)."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from meshcore.model.base import MeshModel
from meshcore.model.virtual_service import (
    HttpMatchRequest,
    HttpRoute,
    StringMatch,
    TcpRoute,
    TlsRoute,
    VirtualServiceSpec,
)

from galley.core.rules.report import Report

NEVER_REACHED = "the rule is never reached"
NEVER_USED = "the match is never used"
"""How the warnings begin, by which analysis tells them from others."""

_NO_METHOD = "exact:GET"
"""A match without a method counts as one of GET when prefixes are compared, as in Istio."""
_MOST_WARNINGS = 1000
_MOST_COMPARISONS = 100_000
"""Of two prefixes, for one object; matches behind that are not compared."""


def warn_of_unreachable(report: Report, spec: VirtualServiceSpec) -> None:
    """Warn of every rule, and every match, that an earlier one covers."""
    reachable = _warn_of_rules(report, "spec.http", spec.http)
    _warn_of_rules(report, "spec.tls", spec.tls)
    _warn_of_rules(report, "spec.tcp", spec.tcp)
    for later, earlier in islice(_covered(spec.http, reachable), _MOST_WARNINGS):
        where = f"spec.http[{later.rule}].match[{later.at}]"
        report.warn(where, f"{NEVER_USED}: rule {earlier.rule} has the shorter prefix {earlier.prefix!r}")


def _warn_of_rules(
    report: Report, path: str, routes: Sequence[HttpRoute | TlsRoute | TcpRoute]
) -> list[tuple[int, int]]:
    """The places (rule, match) of the matches that are the first of their kind."""
    seen: dict[str, int] = {}
    catch_all: int | None = None
    first: list[tuple[int, int]] = []
    for index, route in enumerate(routes):
        where = f"{path}[{index}]"
        if catch_all is not None:
            which = "only the last rule can have no match" if not route.match else "a rule before it has no match"
            report.warn(where, f"{NEVER_REACHED}: {which} (rule {catch_all})")
            continue
        if not route.match:
            catch_all = index
            continue
        before = len(first)
        for at, match in enumerate(route.match):
            text = _text(match)
            if text in seen:
                report.warn(f"{where}.match[{at}]", f"{NEVER_USED}: rule {seen[text]} has the same")
            else:
                seen[text] = index
                first.append((index, at))
        if len(first) == before:
            report.warn(where, f"{NEVER_REACHED}: earlier rules have all of its matches")
    return first


def _text(match: MeshModel) -> str:
    return json.dumps(match.model_dump(mode="json", exclude={"name"}), sort_keys=True)


class _Prefix(NamedTuple):
    """A match by prefix: where it stands, and its other conditions as Istio compares them."""

    rule: int
    at: int
    prefix: str
    conditions: tuple[str, ...]


class _Prefixes(NamedTuple):
    """What was seen of matches with conditions on the same things: by prefix, and the prefixes' lengths."""

    by_prefix: dict[str, list[_Prefix]]
    lengths: set[int]


def _covered(routes: Sequence[HttpRoute], places: Sequence[tuple[int, int]]) -> Iterator[tuple[_Prefix, _Prefix]]:
    """Every later match with an earlier one that covers it, by a shorter prefix and conditions that ask no more."""
    known: dict[tuple[object, ...], _Prefixes] = {}
    left = _MOST_COMPARISONS
    for rule, at in places:
        match = routes[rule].match[at]
        prefix = match.uri.prefix if match.uri is not None else None
        if not prefix:
            continue
        this = _Prefix(rule, at, prefix, _conditions(match))
        same = known.setdefault(_asked(match), _Prefixes({}, set()))
        for length in sorted(same.lengths):
            if length >= len(prefix):
                break
            for other in same.by_prefix.get(prefix[:length], ()):
                left -= 1
                if left < 0:
                    return
                if all(map(str.startswith, other.conditions, this.conditions)):
                    yield this, other
        same.by_prefix.setdefault(prefix, []).append(this)
        same.lengths.add(len(prefix))


def _asked(match: HttpMatchRequest) -> tuple[object, ...]:
    """What a match has conditions on; only matches that agree in it are compared."""
    maps = (match.headers, match.query_params, match.without_headers)
    return (match.port, *(tuple(sorted(one)) for one in maps))


def _conditions(match: HttpMatchRequest) -> tuple[str, ...]:
    maps = (match.headers, match.query_params, match.without_headers)
    return (
        _condition(match.method) or _NO_METHOD,
        _condition(match.authority),
        *(_condition(one[name]) for one in maps for name in sorted(one)),
    )


def _condition(match: StringMatch | None) -> str:
    """A regular expression, and no condition at all, are empty: Istio compares neither."""
    if match is not None and match.exact:
        return f"exact:{match.exact}"
    return f"prefix:{match.prefix}" if match is not None and match.prefix else ""
