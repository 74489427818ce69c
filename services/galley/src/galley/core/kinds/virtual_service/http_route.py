"""One HTTP rule: its action, its matches, and what is done to requests on the way."""

from dataclasses import dataclass

from meshcore.model.virtual_service import HttpBody, HttpRedirect, HttpRewrite, HttpRoute
from pydantic.alias_generators import to_camel

from galley.core.kinds.virtual_service.destinations import (
    check_header_operations,
    check_http_destinations,
    check_mirrors,
)
from galley.core.kinds.virtual_service.faults import check_cors, check_fault
from galley.core.kinds.virtual_service.http_match import check_http_match
from galley.core.rules.headers import check_one_line
from galley.core.rules.patterns import check_regex
from galley.core.rules.ports import check_port
from galley.core.rules.quantities import check_duration, check_http_status
from galley.core.rules.report import Report
from galley.core.rules.retries import check_retries

_KIBIBYTE = 1024
_LARGEST_BODY = 1024 * _KIBIBYTE
_LARGE_BODY = 100 * _KIBIBYTE


@dataclass(frozen=True, slots=True)
class HttpScope:
    """Where the rule counts: in sidecars, and whether it is a delegate's."""

    in_mesh: bool
    is_delegate: bool


def check_http_route(report: Report, path: str, route: HttpRoute, scope: HttpScope) -> None:
    """Everything that can be wrong with one rule."""
    _check_action(report, path, route, scope)
    for index, match in enumerate(route.match):
        check_http_match(report, f"{path}.match[{index}]", match, in_mesh=scope.in_mesh)
    check_header_operations(report, f"{path}.headers", route.headers)
    check_http_destinations(report, f"{path}.route", route.route)
    check_mirrors(report, path, route)
    if route.cors_policy is not None:
        check_cors(report, f"{path}.corsPolicy", route.cors_policy)
    if route.fault is not None:
        check_fault(report, f"{path}.fault", route.fault)
    if route.redirect is not None:
        _check_redirect(report, path, route, route.redirect)
    if route.direct_response is not None:
        _check_direct_response(report, f"{path}.directResponse", route)
    if route.retries is not None:
        check_retries(report, f"{path}.retries", route.retries)
    if route.rewrite is not None:
        _check_rewrite(report, f"{path}.rewrite", route.rewrite)
    _check_authority(report, path, route)
    check_duration(report, f"{path}.timeout", route.timeout)


def _check_action(report: Report, path: str, route: HttpRoute, scope: HttpScope) -> None:
    """A rule does one thing: delegate, redirect, answer, or route."""
    if route.delegate is not None:
        if scope.is_delegate:
            report.error(f"{path}.delegate", "a delegate cannot delegate", "a route, redirect or directResponse")
        _check_alone(report, path, route, "delegate", ("redirect", "route"))
        return
    if route.redirect is not None:
        _check_alone(report, path, route, "redirect", ("route", "fault", "rewrite", "direct_response"))
    if route.direct_response is not None:
        _check_alone(report, path, route, "directResponse", ("route", "fault", "rewrite", "redirect"))
    if not route.route and route.redirect is None and route.direct_response is None:
        report.error(path, "the rule does nothing", "route, redirect, directResponse or delegate")


def _check_alone(report: Report, path: str, route: HttpRoute, action: str, others: tuple[str, ...]) -> None:
    for other in others:
        if getattr(route, other):
            report.error(f"{path}.{to_camel(other)}", f"set together with {action}", "one of them")


def _check_redirect(report: Report, path: str, route: HttpRoute, redirect: HttpRedirect) -> None:
    where = f"{path}.redirect"
    if redirect.uri and redirect.prefix_rewrite:
        report.error(where, "uri and prefixRewrite are both set", "one of them")
    if redirect.prefix_rewrite and any(match.uri is not None and match.uri.prefix is None for match in route.match):
        report.error(f"{where}.prefixRewrite", "a match of the rule is not by prefix", "uri.prefix in every match")
    says = (redirect.uri, redirect.prefix_rewrite, redirect.authority, redirect.scheme, redirect.derive_port)
    if not any(says) and redirect.port is None:
        report.error(where, "the redirect says nothing", "uri, prefixRewrite, authority, scheme or port")
    check_one_line(report, f"{where}.uri", redirect.uri)
    check_one_line(report, f"{where}.prefixRewrite", redirect.prefix_rewrite)
    check_one_line(report, f"{where}.authority", redirect.authority)
    if redirect.redirect_code and not 300 <= redirect.redirect_code <= 399:
        report.error(f"{where}.redirectCode", f"{redirect.redirect_code} is not a redirect's status", "300 to 399")
    if redirect.scheme not in ("", "http", "https"):
        report.error(f"{where}.scheme", f"unsupported value {redirect.scheme!r}", "http or https")
    if redirect.port is not None and redirect.port > 65535:
        check_port(report, f"{where}.port", redirect.port)


def _check_direct_response(report: Report, path: str, route: HttpRoute) -> None:
    response = route.direct_response
    if response is None:
        return
    check_http_status(report, f"{path}.status", response.status)
    if response.body is not None:
        size = _size(response.body)
        if size > _LARGEST_BODY:
            report.error(f"{path}.body", f"{size} bytes", "at most 1 MiB")
        elif size > _LARGE_BODY:
            report.warn(f"{path}.body", f"{size} bytes in every proxy that has this route; keep it under 100 KiB")


def _size(body: HttpBody) -> int:
    if body.string is not None:
        return len(body.string.encode())
    encoded = body.bytes or ""
    return len(encoded) * 3 // 4 - encoded.count("=")


def _check_rewrite(report: Report, path: str, rewrite: HttpRewrite) -> None:
    if rewrite.uri and rewrite.uri_regex_rewrite is not None:
        report.error(path, "uri and uriRegexRewrite are both set", "one of them")
    if not rewrite.uri and rewrite.uri_regex_rewrite is None and not rewrite.authority:
        report.error(path, "the rewrite says nothing", "uri, uriRegexRewrite or authority")
    check_one_line(report, f"{path}.uri", rewrite.uri)
    check_one_line(report, f"{path}.authority", rewrite.authority)
    if (regex := rewrite.uri_regex_rewrite) is not None:
        if not regex.match or not regex.rewrite:
            report.error(f"{path}.uriRegexRewrite", "match and rewrite are both needed", "a pattern and a text")
        if regex.match:
            check_regex(report, f"{path}.uriRegexRewrite.match", regex.match)


def _check_authority(report: Report, path: str, route: HttpRoute) -> None:
    """The authority is set in one place: by the rewrite, or as a request header."""
    places = 1 if route.rewrite is not None and route.rewrite.authority else 0
    if route.headers is not None and route.headers.request is not None:
        for names in (route.headers.request.set, route.headers.request.add):
            places += sum(1 for name in names if name.lower() in ("host", ":authority"))
    if places > 1:
        report.error(path, "the authority is set more than once", "one rewrite of the authority")
