"""Retry policies, of a route and of the mesh."""

from http import HTTPStatus

from meshcore.model.virtual_service import HttpRetry

from galley.core.rules.quantities import check_duration
from galley.core.rules.report import Report

POLICIES = frozenset(
    (
        "5xx",
        "cancelled",
        "connect-failure",
        "deadline-exceeded",
        "envoy-ratelimited",
        "gateway-error",
        "http3-post-connect-failure",
        "internal",
        "refused-stream",
        "reset",
        "reset-before-request",
        "resource-exhausted",
        "retriable-4xx",
        "retriable-headers",
        "retriable-status-codes",
        "unavailable",
    )
)
"""What Envoy can retry on."""
_STATUSES = frozenset(str(status.value) for status in HTTPStatus)


def check_retries(report: Report, path: str, retries: HttpRetry, *, zero_with_settings: bool = False) -> None:
    """Attempts, timeouts and conditions; without attempts nothing else may be set (`zero_with_settings` lifts that)."""
    if retries.attempts < 0:
        report.error(f"{path}.attempts", f"{retries.attempts} is negative", "0 or more")
    settings = (
        ("perTryTimeout", retries.per_try_timeout),
        ("retryOn", retries.retry_on),
        ("retryRemoteLocalities", retries.retry_remote_localities),
    )
    if retries.attempts == 0 and not zero_with_settings:
        for name, value in settings:
            if value:
                report.error(f"{path}.{name}", "set although attempts is 0", "attempts above 0")
    check_duration(report, f"{path}.perTryTimeout", retries.per_try_timeout)
    check_duration(report, f"{path}.backoff", retries.backoff)
    if retries.retry_on:
        for name in retries.retry_on.split(","):
            if name not in POLICIES and name not in _STATUSES:
                report.error(f"{path}.retryOn", f"{name!r} is nothing to retry on", "a retry policy or an HTTP status")
