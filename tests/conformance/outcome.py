"""What came of one case, and the counts of a set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case: `detail` says what was wanted and what was got, or why it does not apply."""

    case: str
    verdict: Verdict
    detail: str = ""


def passed(case: str) -> Outcome:
    """It does what the corpus expects."""
    return Outcome(case, Verdict.PASSED)


def failed(case: str, detail: str) -> Outcome:
    """It does something else."""
    return Outcome(case, Verdict.FAILED, detail)


def not_applicable(case: str, reason: str) -> Outcome:
    """The case asks for something that is not ours to do."""
    return Outcome(case, Verdict.NOT_APPLICABLE, reason)


@dataclass(slots=True)
class SetResult:
    """All outcomes of one set."""

    name: str
    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, verdict: Verdict) -> int:
        """How many cases ended so."""
        return sum(1 for outcome in self.outcomes if outcome.verdict is verdict)

    @property
    def reasons(self) -> Mapping[str, int]:
        """Why cases do not apply, each reason with its number of cases."""
        counts: dict[str, int] = {}
        for outcome in self.outcomes:
            if outcome.verdict is Verdict.NOT_APPLICABLE:
                counts[outcome.detail] = counts.get(outcome.detail, 0) + 1
        return counts

    def document(self) -> dict[str, Any]:
        """One set of the JSON report: its counts, and each case that failed."""
        return {
            "set": self.name,
            "passed": self.count(Verdict.PASSED),
            "failed": self.count(Verdict.FAILED),
            "notApplicable": self.count(Verdict.NOT_APPLICABLE),
            "reasons": dict(self.reasons),
            "failures": [
                {"case": outcome.case, "detail": outcome.detail}
                for outcome in self.outcomes
                if outcome.verdict is Verdict.FAILED
            ],
        }


def table(results: Iterable[SetResult]) -> str:
    """The report for people: one line for each set, then the reasons of what does not apply."""
    lines = [f"{'SET':<24}{'PASSED':>8}{'FAILED':>8}{'N/A':>8}  WHY NOT APPLICABLE"]
    for result in results:
        why = "; ".join(f"{reason} ({count})" for reason, count in result.reasons.items())
        counts = "".join(f"{result.count(verdict):>8}" for verdict in Verdict)
        lines.append(f"{result.name:<24}{counts}  {why}".rstrip())
    return "\n".join(lines)
