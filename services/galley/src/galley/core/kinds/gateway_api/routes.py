"""Routes: parents, matches, filters and backends."""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta

from meshcore.durations import parse_duration
from meshcore.model.gateway_api.filters import HttpFilter, PathModifierType
from meshcore.model.gateway_api.routes import (
    ConnectionRouteSpec,
    GrpcMethodMatch,
    GrpcRoute,
    HttpRoute,
    HttpRouteRule,
    HttpTimeouts,
    PathMatch,
    SessionPersistence,
    TcpRoute,
    TlsRoute,
    UdpRoute,
)

from galley.core.kinds.gateway_api.filters import check_filters
from galley.core.kinds.gateway_api.references import check_backend_object, check_parents
from galley.core.rules.patterns import check_regex
from galley.core.rules.report import Report

_PATH = re.compile(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
_NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F", "#")
_SERVICE = re.compile(r"\.?[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*")
_METHOD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_MOST_MATCHES = 128


def check_http_route(route: HttpRoute, report: Report) -> None:
    """Every rule, and what they are together."""
    check_parents(report, route.spec.parent_refs)
    _check_rules(report, route.spec.rules)
    for index, rule in enumerate(route.spec.rules):
        path = f"spec.rules[{index}]"
        for place, match in enumerate(rule.matches):
            if match.path is not None:
                _check_path(report, f"{path}.matches[{place}].path", match.path)
        check_filters(report, f"{path}.filters", rule.filters)
        for place, backend in enumerate(rule.backend_refs):
            check_backend_object(report, f"{path}.backendRefs[{place}]", backend)
            check_filters(report, f"{path}.backendRefs[{place}].filters", backend.filters)
        _check_redirect(report, path, rule)
        if rule.timeouts is not None:
            _check_timeouts(report, f"{path}.timeouts", rule.timeouts)
        check_session(report, f"{path}.sessionPersistence", rule.session_persistence)


def check_grpc_route(route: GrpcRoute, report: Report) -> None:
    """Every rule, and what they are together."""
    check_parents(report, route.spec.parent_refs)
    _check_rules(report, route.spec.rules)
    for index, rule in enumerate(route.spec.rules):
        path = f"spec.rules[{index}]"
        for place, match in enumerate(rule.matches):
            if match.method is not None:
                _check_method(report, f"{path}.matches[{place}].method", match.method)
        check_filters(report, f"{path}.filters", rule.filters)
        for place, backend in enumerate(rule.backend_refs):
            check_backend_object(report, f"{path}.backendRefs[{place}]", backend)
            check_filters(report, f"{path}.backendRefs[{place}].filters", backend.filters)
        check_session(report, f"{path}.sessionPersistence", rule.session_persistence)


def check_connection_route(route: TcpRoute | TlsRoute | UdpRoute, report: Report) -> None:
    """Parents and backends."""
    spec: ConnectionRouteSpec = route.spec
    check_parents(report, spec.parent_refs)
    for index, rule in enumerate(spec.rules):
        for place, backend in enumerate(rule.backend_refs):
            check_backend_object(report, f"spec.rules[{index}].backendRefs[{place}]", backend)


def check_session(report: Report, path: str, session: SessionPersistence | None) -> None:
    """A cookie's settings are for cookies, and a permanent one ends at some time."""
    if session is None or session.cookie_config is None:
        return
    if session.type != "Cookie":
        report.error(f"{path}.cookieConfig", f"set for type {session.type}", "type Cookie")
    if session.cookie_config.lifetime_type == "Permanent" and session.absolute_timeout is None:
        report.error(f"{path}.absoluteTimeout", "required for a permanent cookie", "a duration")


def _check_rules(report: Report, rules: Sequence[HttpRouteRule] | Sequence[object]) -> None:
    names = [name for rule in rules if (name := getattr(rule, "name", None))]
    for name in sorted({name for name in names if names.count(name) > 1}):
        report.error("spec.rules", f"the name {name!r} is there twice", "a name once")
    matches = sum(len(getattr(rule, "matches", ())) for rule in rules)
    if matches > _MOST_MATCHES:
        report.error("spec.rules", f"{matches} matches in all rules", f"at most {_MOST_MATCHES}")


def _check_path(report: Report, path: str, match: PathMatch) -> None:
    value = match.value
    if match.type == "RegularExpression":
        check_regex(report, f"{path}.value", value)
    elif not value.startswith("/"):
        report.error(f"{path}.value", f"{value!r} does not begin with '/'", "an absolute path")
    elif any(part in value for part in _NOT_IN_PATHS) or value.endswith(("/.", "/..")) or not _PATH.fullmatch(value):
        report.error(f"{path}.value", f"{value!r} is not a normalised path", "no '//', '/./', '/../', '%2f' or '#'")


def _check_method(report: Report, path: str, match: GrpcMethodMatch) -> None:
    if match.service is None and match.method is None:
        report.error(path, "neither service nor method", "at least one of them")
    for name, value, form in (("service", match.service, _SERVICE), ("method", match.method, _METHOD)):
        if value is None:
            continue
        if match.type == "RegularExpression":
            check_regex(report, f"{path}.{name}", value)
        elif not form.fullmatch(value):
            report.error(f"{path}.{name}", f"{value!r} is not a {name} of gRPC", f"a {name}'s name")


def _check_redirect(report: Report, path: str, rule: HttpRouteRule) -> None:
    if rule.backend_refs and any(item.request_redirect is not None for item in rule.filters):
        report.error(f"{path}.filters", "RequestRedirect is there with backendRefs", "one of them")
    of_backends = [item for backend in rule.backend_refs for item in backend.filters]
    if _replaces_prefix((*rule.filters, *of_backends)) and not _is_one_prefix(rule):
        report.error(f"{path}.matches", "replacePrefixMatch needs a prefix to replace", "exactly one PathPrefix match")


def _replaces_prefix(filters: Iterable[HttpFilter]) -> bool:
    changes = [change for item in filters for change in (item.request_redirect, item.url_rewrite) if change is not None]
    return any(change.path is not None and change.path.type is PathModifierType.PREFIX for change in changes)


def _is_one_prefix(rule: HttpRouteRule) -> bool:
    if not rule.matches:
        return True  # the default match is the prefix "/"
    path = rule.matches[0].path
    return len(rule.matches) == 1 and (path is None or path.type == "PathPrefix")


def _check_timeouts(report: Report, path: str, timeouts: HttpTimeouts) -> None:
    if timeouts.request is None or timeouts.backend_request is None:
        return
    whole, one = parse_duration(timeouts.request), parse_duration(timeouts.backend_request)
    if timedelta() < whole < one:
        report.error(f"{path}.backendRequest", "longer than the whole request may take", "at most timeouts.request")
