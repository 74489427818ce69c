"""Label maps of subsets and workloads, and the selectors of policies."""

import re
from collections.abc import Mapping

from galley.core.rules.names import is_label
from galley.core.rules.report import Report

_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREFIX_LABEL = r"[A-Za-z0-9](?:[-A-Za-z0-9]*[A-Za-z0-9])?"
_PREFIX = re.compile(rf"{_PREFIX_LABEL}(?:\.{_PREFIX_LABEL})*")


def check_labels(report: Report, path: str, labels: Mapping[str, str]) -> None:
    """Keys with an optional DNS prefix, values of the same letters; the length of a value is not limited here."""
    for key, value in labels.items():
        prefix, slash, name = key.rpartition("/")
        named = _NAME.fullmatch(name) and len(name) <= 63
        if not named or (slash and (len(prefix) > 253 or not _PREFIX.fullmatch(prefix))):
            report.error(f"{path}[{key}]", f"{key!r} is not a label's key", "[prefix/]name of at most 63 characters")
        if value and not _NAME.fullmatch(value):
            report.error(f"{path}[{key}]", f"{value!r} is not a label's value", "letters, digits, '-', '_' and '.'")


def check_selector(report: Report, path: str, labels: Mapping[str, str]) -> bool:
    """A selector of workloads; False when it is wrong. One without labels is warned of."""
    before = len(report.errors)
    for key, value in labels.items():
        if not key:
            report.error(path, "a selector has an empty key", "a label's key")
        if "*" in key or "*" in value:
            report.error(f"{path}[{key}]", f"wildcards are not supported in {key}={value}", "an exact key and value")
        if len(value) > 63:
            report.error(f"{path}[{key}]", "the value is longer than a label's", "at most 63 characters")
    if not labels:
        report.warn(path, "the selector has no labels: it selects every workload of its scope")
    return len(report.errors) == before


def check_export_to(
    report: Report, path: str, export_to: tuple[str, ...], namespace: str, *, none: bool = False
) -> None:
    """Namespaces, `.` or `*`; `none` allows `~`. `*` and `~` stand alone and nothing stands twice."""
    seen: set[str] = set()
    for index, item in enumerate(export_to):
        where = f"{path}[{index}]"
        if item not in (".", "*") and not (none and item == "~") and not is_label(item):
            report.error(where, f"{item!r} is not a namespace", "a namespace, '.' or '*'" + (" or '~'" if none else ""))
        place = namespace if item == "." else item
        if place in seen:
            report.error(where, f"{item!r} is there twice")
        seen.add(place)
        if item in ("*", "~") and len(export_to) > 1:
            report.error(where, f"{item!r} is there with other namespaces", f"{item!r} alone")
