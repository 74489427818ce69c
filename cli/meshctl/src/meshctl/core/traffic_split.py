"""How answers are shared out among versions, and whether that is what a step of the demo promises. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

VERSIONS = ("v1", "v2", "v3")
LEAST_ANSWERS = 100
"""So many answers of each caller make a share worth judging: at 50 % the share is then within 15 points (3 sigma)."""
TOLERANCE = 0.2


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the shop: who asked, the HTTP status (0: none), which version of reviews served it."""

    caller: str
    status: int
    version: str


@dataclass
class Split:
    """Answers counted by caller and version; anything but 200 is counted as failed."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, answer: Answer) -> None:
        """Counts one answer."""
        outcome = answer.version if answer.status == 200 else "failed"
        self.counts.setdefault(answer.caller, Counter())[outcome] += 1

    def total(self, caller: str) -> int:
        """All answers to that caller."""
        return sum(self.counts.get(caller, Counter()).values())

    def failed(self) -> int:
        """Failures of all callers."""
        return sum(counter["failed"] for counter in self.counts.values())

    def share(self, caller: str, version: str) -> float:
        """The version's share of that caller's answers, 0 to 1."""
        return self.counts.get(caller, Counter())[version] / max(1, self.total(caller))

    def enough(self, callers: Iterable[str]) -> bool:
        """True when every caller has answers enough to judge."""
        return all(self.total(caller) >= LEAST_ANSWERS for caller in callers)

    def contradicts(self, promise: Mapping[str, Mapping[str, float]]) -> list[str]:
        """What differs from the promised shares (caller -> version -> share); 0 and 1 are exact."""
        wrong = []
        for caller, shares in promise.items():
            for version in VERSIONS:
                promised, got = shares.get(version, 0.0), self.share(caller, version)
                allowed = 0.0 if promised in (0.0, 1.0) else TOLERANCE
                if abs(promised - got) > allowed:
                    wrong.append(f"{caller}: {version} got {got:.0%}, promised {promised:.0%}")
        return wrong


def median_and_max(samples: Iterable[timedelta]) -> tuple[timedelta, timedelta]:
    """The 50th percentile (nearest rank) and the largest of at least one sample."""
    ordered = sorted(samples)
    return ordered[(len(ordered) - 1) // 2], ordered[-1]


def milliseconds(duration: timedelta) -> str:
    """`12.3 ms`."""
    return f"{duration.total_seconds() * 1000:.1f} ms"
