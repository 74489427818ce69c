"""Injected faults, and cross-origin rules."""

from datetime import timedelta

from meshcore.grpc_status import GRPC_STATUS
from meshcore.model.virtual_service import CorsPolicy, FaultAbort, FaultDelay, HttpFaultInjection, StringMatch

from galley.core.rules.headers import is_token
from galley.core.rules.patterns import check_string_match
from galley.core.rules.quantities import (
    check_duration,
    check_fraction,
    check_http_status,
    check_percent,
    check_whole_seconds,
)
from galley.core.rules.report import Report

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"))


def check_fault(report: Report, path: str, fault: HttpFaultInjection) -> None:
    """A delay or an abort, each possible."""
    if fault.delay is None and fault.abort is None:
        report.error(path, "the fault does nothing", "delay or abort")
    if fault.abort is not None:
        _check_abort(report, f"{path}.abort", fault.abort)
    if fault.delay is not None:
        _check_delay(report, f"{path}.delay", fault.delay)


def _check_abort(report: Report, path: str, abort: FaultAbort) -> None:
    check_fraction(report, f"{path}.percentage", abort.percentage)
    if abort.grpc_status is not None:
        if abort.grpc_status not in GRPC_STATUS:
            report.error(f"{path}.grpcStatus", f"{abort.grpc_status!r} is not a gRPC status", "a name as NOT_FOUND")
    elif abort.http_status is not None:
        check_http_status(report, f"{path}.httpStatus", abort.http_status)
    elif abort.http2_error is not None:
        report.error(f"{path}.http2Error", "not supported", "httpStatus or grpcStatus")
    else:
        report.warn(path, "no status: nothing is aborted")


def _check_delay(report: Report, path: str, delay: FaultDelay) -> None:
    check_percent(report, f"{path}.percent", delay.percent)
    check_fraction(report, f"{path}.percentage", delay.percentage)
    if delay.exponential_delay is not None:
        report.error(f"{path}.exponentialDelay", "not supported", "fixedDelay")
    check_duration(report, f"{path}.fixedDelay", delay.fixed_delay)


def check_cors(report: Report, path: str, cors: CorsPolicy) -> None:
    """Origins, methods and headers, and an age in whole seconds."""
    for index, origin in enumerate(cors.allow_origins):
        where = f"{path}.allowOrigins[{index}]"
        if not _says_something(origin):
            report.error(where, "the match of the origin is empty", "exact, prefix or regex")
        check_string_match(report, where, origin)
    for index, method in enumerate(cors.allow_methods):
        if method not in _METHODS:
            report.error(f"{path}.allowMethods[{index}]", f"unsupported value {method!r}", "an HTTP method or '*'")
    for field, names in (("allowHeaders", cors.allow_headers), ("exposeHeaders", cors.expose_headers)):
        for index, name in enumerate(names):
            if not is_token(name):
                report.error(f"{path}.{field}[{index}]", f"{name!r} is not the name of a header", "a name or '*'")
    if cors.max_age is not None:
        if cors.max_age < timedelta(milliseconds=1):
            check_duration(report, f"{path}.maxAge", cors.max_age)
        check_whole_seconds(report, f"{path}.maxAge", cors.max_age)


def _says_something(match: StringMatch) -> bool:
    return any((match.exact, match.prefix, match.regex))
