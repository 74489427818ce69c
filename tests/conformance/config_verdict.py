"""What the project says of one config document: as `meshctl validate` and Galley's own admission do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from meshcore.errors import Violation
from meshcore.model.kinds import KINDS
from meshcore.model.load import Document
from meshctl.core.validation import Verdict, validate_documents

from tests.conformance.outcome import Outcome, failed, passed

INVALID = "invalid"
VALID = "valid"
WARN = "warn"


@dataclass(frozen=True, slots=True)
class Case:
    """A document and what is expected of it: `invalid`, `valid` or `warn`; `warning` None: nothing is said of warnings.
    `doubtful`: a warning is as good as an error here."""

    title: str
    body: Mapping[str, Any]
    expect: str
    warning: bool | None = None
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict in texts."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]


Judge = Callable[[Case], Outcome]
Cases = Callable[[Path], Iterator[Case | Outcome]]


def judging(cases: Cases, judge: Judge) -> Callable[[Path], Iterator[Outcome]]:
    """The adapter that has every case judged; what is an outcome already stays one."""

    def run(directory: Path) -> Iterator[Outcome]:
        for case in cases(directory):
            yield judge(case) if isinstance(case, Case) else case

    return run


def by_validation(case: Case) -> Outcome:
    """As `meshctl validate` says."""
    verdict = verdict_of(case.body)
    return compare(case, Said(_texts(verdict.errors), _texts(verdict.warnings)))


def verdict_of(body: Mapping[str, Any]) -> Verdict:
    """Schema, structural rules and semantic rules together."""
    return validate_documents([Document("case", 1, body)])[0]


def _texts(violations: Iterable[Violation]) -> tuple[str, ...]:
    return tuple(str(replace(violation, file=None, line=None)) for violation in violations)


def is_known(body: Mapping[str, Any]) -> bool:
    """Whether there is such a kind: what is refused for its kind alone proves nothing about the rules."""
    group = str(body.get("apiVersion", "")).rpartition("/")[0]
    return any(info.kind == body.get("kind") and info.group == group for info in KINDS)


def compare(case: Case, got: Said) -> Outcome:
    """What is expected with what was said."""
    text = f"errors {list(got.errors)}, warnings {list(got.warnings)}"
    refused = bool(got.errors or (case.doubtful and got.warnings))
    if (case.expect == INVALID) is not refused:
        return failed(case.title, f"expected {case.expect}; {text}")
    wanted = case.warning if case.expect != WARN else True
    warnings = _particular(case.body, got.warnings)
    if wanted is not None and not case.doubtful and not refused and wanted is not bool(warnings):
        return failed(case.title, f"expected {'a warning' if wanted else 'no warning'}; {text}")
    return passed(case.title)


def _particular(body: Mapping[str, Any], warnings: Iterable[str]) -> list[str]:
    """Every EnvoyFilter is warned of as a whole; a corpus counts only warnings about what it says."""
    return [text for text in warnings if body.get("kind") != "EnvoyFilter" or not text.startswith("spec: ")]
