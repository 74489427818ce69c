"""Regular expressions (RE2, as Envoy compiles them) and string matches."""

from meshcore.model.virtual_service import StringMatch
from meshcore.regular_expression import regex_fault

from galley.core.rules.report import Report

MAX_LENGTH = 1024
"""Characters of a pattern, as in Istio."""


def check_regex(report: Report, path: str, pattern: str) -> None:
    """A pattern of RE2's language: no lookaround, no backreferences."""
    if not pattern:
        report.error(path, "the regular expression is empty", "an RE2 pattern")
    elif len(pattern) > MAX_LENGTH:
        report.error(path, f"the regular expression has {len(pattern)} characters", f"at most {MAX_LENGTH}")
    elif fault := regex_fault(pattern):
        report.error(path, f"the regular expression is not RE2: {fault}", "an RE2 pattern")


def check_string_match(
    report: Report, path: str, match: StringMatch | None, *, empty_prefix: bool = False, any_value: bool = False
) -> None:
    """A prefix says something unless `empty_prefix`; a regex compiles, or is `*` with `any_value`."""
    if match is None:
        return
    if match.prefix == "" and not empty_prefix:
        report.error(f"{path}.prefix", "the prefix is empty", "at least one character")
    if match.regex is not None and not (any_value and match.regex == "*"):
        check_regex(report, f"{path}.regex", match.regex)
