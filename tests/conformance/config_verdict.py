"""What the project says of one config document: as `meshctl validate` and Galley's own admission do."""

from collections.abc import Mapping
from typing import Any

from meshcore.model.kinds import KINDS
from meshcore.model.load import Document
from meshctl.core.validation import Verdict, validate_documents

from tests.conformance.outcome import Outcome, failed, passed

INVALID = "invalid"
VALID = "valid"
WARN = "warn"


def verdict_of(body: Mapping[str, Any], source: str = "case") -> Verdict:
    """Schema, structural rules and semantic rules together."""
    return validate_documents([Document(source, 1, body)])[0]


def is_known(body: Mapping[str, Any]) -> bool:
    """Whether there is such a kind: what is refused for its kind alone proves nothing about the rules."""
    group = str(body.get("apiVersion", "")).rpartition("/")[0]
    return any(info.kind == body.get("kind") and info.group == group for info in KINDS)


def judge(case: str, verdict: Verdict, expect: str, warning: bool | None) -> Outcome:
    """Compare with `invalid`, `valid` or `warn`; `warning` None means that nothing is said of warnings."""
    entry = verdict.entry()
    got = f"errors {entry['errors']}, warnings {entry['warnings']}"
    if (expect == INVALID) is verdict.valid:
        return failed(case, f"expected {expect}; {got}")
    wanted = warning if expect != WARN else True
    warnings = [text for text in verdict.warnings if not is_general(verdict, text.field)]
    if wanted is not None and verdict.valid and wanted is not bool(warnings):
        return failed(case, f"expected {'a warning' if wanted else 'no warning'}; {got}")
    return passed(case)


def is_general(verdict: Verdict, field: str) -> bool:
    """Every EnvoyFilter is warned of as a whole; a corpus counts only warnings about what it says."""
    body = verdict.document.body
    return isinstance(body, Mapping) and body.get("kind") == "EnvoyFilter" and field == "spec"
