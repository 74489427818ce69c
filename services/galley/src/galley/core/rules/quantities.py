"""Durations, percentages, and status codes."""

from datetime import timedelta

from meshcore.model.virtual_service import Percent

from galley.core.rules.report import Report

_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)


def check_duration(report: Report, path: str, value: timedelta | None) -> None:
    """At least a millisecond, in whole milliseconds; None is not checked."""
    if value is not None and (value < _MILLISECOND or value % _MILLISECOND):
        report.error(path, f"invalid duration {_shown(value)}", "at least 1ms, in whole milliseconds")


def check_whole_seconds(report: Report, path: str, value: timedelta) -> None:
    """No part of a second."""
    if value % _SECOND:
        report.error(path, f"invalid duration {_shown(value)}", "whole seconds")


def _shown(value: timedelta) -> str:
    return f"{value.total_seconds():g}s"


def check_percent(report: Report, path: str, value: float) -> None:
    """0 to 100."""
    if not 0 <= value <= 100:
        report.error(path, f"{value:g} is not a percentage", "0 to 100")


def check_fraction(report: Report, path: str, value: Percent | None) -> None:
    """0, or 0.0001 to 100: Envoy counts in millionths."""
    if value is not None and not (value.value == 0 or 0.0001 <= value.value <= 100):
        report.error(f"{path}.value", f"{value.value:g} is not a percentage", "0, or 0.0001 to 100")


def check_http_status(report: Report, path: str, value: int) -> None:
    """A status code of an answer."""
    if not 200 <= value <= 600:
        report.error(path, f"{value} is not the status of an answer", "200 to 599")
