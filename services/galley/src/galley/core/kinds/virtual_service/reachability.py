"""Rules that no request can reach, because an earlier one takes all of theirs (warnings, as IST0130 and IST0131)."""

from collections.abc import Mapping, Sequence
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

_NO_METHOD = "GET"
"""A match without a method counts as one of GET when prefixes are compared, as in Istio."""


def warn_of_unreachable(report: Report, spec: VirtualServiceSpec) -> None:
    """Warn of every rule, and every match, that an earlier one covers."""
    _warn_of_rules(report, "spec.http", spec.http)
    _warn_of_rules(report, "spec.tls", spec.tls)
    _warn_of_rules(report, "spec.tcp", spec.tcp)
    _warn_of_prefixes(report, spec.http)


def _warn_of_rules(report: Report, path: str, routes: Sequence[HttpRoute | TlsRoute | TcpRoute]) -> None:
    seen: dict[str, int] = {}
    catch_all: int | None = None
    for index, route in enumerate(routes):
        where = f"{path}[{index}]"
        if catch_all is not None:
            which = "only the last rule can have no match" if not route.match else "a rule before it has no match"
            report.warn(where, f"{NEVER_REACHED}: {which} (rule {catch_all})")
            continue
        if not route.match:
            catch_all = index
            continue
        duplicates = 0
        for at, match in enumerate(route.match):
            text = _text(match)
            if text in seen:
                duplicates += 1
                if duplicates < len(route.match):  # else the whole rule is reported
                    report.warn(f"{where}.match[{at}]", f"{NEVER_USED}: rule {seen[text]} has the same")
            seen.setdefault(text, index)
        if duplicates == len(route.match):
            report.warn(where, f"{NEVER_REACHED}: earlier rules have all of its matches")


def _text(match: MeshModel) -> str:
    return match.model_dump_json(exclude={"name"})


def _warn_of_prefixes(report: Report, routes: Sequence[HttpRoute]) -> None:
    """Every prefix is looked up among the shorter ones, so that ten thousand of them are no more than that."""
    known: dict[tuple[object, ...], _Prefixes] = {}
    order = 0
    for index, route in enumerate(routes):
        for at, match in enumerate(route.match):
            prefix = match.uri.prefix if match.uri is not None else None
            if not prefix:
                continue
            same = known.setdefault(_conditions(match), _Prefixes({}, set()))
            covering = [same.first[prefix[:length]] for length in same.lengths if prefix[:length] in same.first]
            covering = [found for found in covering if found[2] != prefix]
            if covering:
                _, rule, shorter = min(covering)
                report.warn(
                    f"spec.http[{index}].match[{at}]", f"{NEVER_USED}: rule {rule} has the shorter prefix {shorter!r}"
                )
            same.first.setdefault(prefix, (order, index, prefix))
            same.lengths.add(len(prefix))
            order += 1


class _Prefixes(NamedTuple):
    """What was seen under one set of conditions: of each prefix its first place, rule and text; their lengths."""

    first: dict[str, tuple[int, int, str]]
    lengths: set[int]


def _conditions(match: HttpMatchRequest) -> tuple[object, ...]:
    method = match.method.model_dump_json() if match.method is not None else f'{{"exact":"{_NO_METHOD}"}}'
    if match.method is not None and match.method.exact == _NO_METHOD:
        method = f'{{"exact":"{_NO_METHOD}"}}'
    authority = None if match.authority is None else _text(match.authority)
    maps = (match.headers, match.query_params, match.without_headers)
    return (match.port, method, authority, *(_sorted(one) for one in maps))


def _sorted(matches: Mapping[str, StringMatch]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, _text(match)) for name, match in matches.items()))
