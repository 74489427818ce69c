"""Compares what a row wants with what came, whether real Envoys or the simulator answered.

Both hand over answers with weights: a real one counts 1, a simulated one its share. What an answerer cannot know is
UNKNOWN, and agrees with everything.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Final

from meshcore.testing.traffic_rows import Expectation, RowCall, Seen


class _Unknown:
    def __repr__(self) -> str:
        return "unknown"


UNKNOWN: Final[Any] = _Unknown()
"""What an answerer cannot tell."""


class Partly(dict[str, Any]):
    """A mapping of which some is known: everything else is UNKNOWN."""

    def __missing__(self, key: str) -> Any:
        return UNKNOWN

    def get(self, key: str, default: Any = None) -> Any:
        """UNKNOWN instead of the default."""
        return self[key]


@dataclass(frozen=True)
class Answer:
    """One answer. `status` is 0 when none came, `error` says why; `workload` is empty when a proxy answered."""

    status: int = 0
    workload: str = ""
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: Any = ""
    saw: Mapping[str, Any] = field(default_factory=dict)
    seconds: Any = UNKNOWN
    grpc_status: Any = UNKNOWN
    ended: Any = UNKNOWN
    error: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """All answers of one call. `asked` is how many requests reached applications, `copies` the percentage of the calls
    of which each workload got one."""

    answers: Sequence[Answer]
    asked: Any = UNKNOWN
    copies: Any = UNKNOWN


def disagreements(call: RowCall, outcome: Outcome) -> list[str]:
    """Every way in which the outcome is not as the row wants; empty when all is well."""
    wanted, answers = call.expect, outcome.answers
    found = list(_shares("statuses", wanted.status_shares, _counted(answers, lambda item: item.status), call))
    if wanted.backends is not None:
        served = [item for item in answers if item.workload]
        found += _shares("backends", wanted.backends, _counted(served, lambda item: item.workload), call)
    if wanted.one_backend and len({item.workload for item in answers}) > 1:
        found.append(f"several workloads answered: {sorted({item.workload for item in answers})}")
    if wanted.copies is not None and outcome.copies is not UNKNOWN:
        found += _shares("copies", wanted.copies, outcome.copies, call)
    if wanted.attempts is not None and outcome.asked not in (UNKNOWN, wanted.attempts * call.count):
        found.append(f"{outcome.asked} requests reached applications, wanted {wanted.attempts * call.count}")
    for answer in answers:
        found += _one(wanted, answer)
    return list(dict.fromkeys(found))


def _one(wanted: Expectation, answer: Answer) -> Iterable[str]:
    for name, value in wanted.headers.items():
        yield from _text(f"header {name}", value, answer.headers.get(name))
    if wanted.location is not None:
        yield from _text("location", wanted.location, answer.headers.get("location"))
    if wanted.body is not None:
        yield from _text("body", wanted.body, answer.body)
    if wanted.grpc_status is not None and answer.grpc_status not in (UNKNOWN, wanted.grpc_status):
        yield f"gRPC status {answer.grpc_status}, wanted {wanted.grpc_status}"
    if wanted.ends is not None and answer.ended not in (UNKNOWN, wanted.ends):
        yield "the other side ended the connection" if answer.ended else "the connection was not ended"
    if answer.seconds is not UNKNOWN:
        if wanted.at_least is not None and answer.seconds < wanted.at_least:
            yield f"took {answer.seconds:.2f} s, wanted at least {wanted.at_least}"
        if wanted.under is not None and answer.seconds >= wanted.under:
            yield f"took {answer.seconds:.2f} s, wanted less than {wanted.under}"
    yield from _saw(wanted.saw, answer.saw)


def _saw(wanted: Seen, saw: Mapping[str, Any]) -> Iterable[str]:
    for name in ("path", "method", "host", "caller", "body", "protocol", "sni"):
        value = getattr(wanted, name)
        if value is not None:
            yield from _text(f"saw {name}", value, saw.get(name))
    for name in ("tls", "nth"):
        value = getattr(wanted, name)
        if value is not None and saw.get(name) not in (UNKNOWN, value):
            yield f"saw {name} {saw.get(name)}, wanted {value}"
    headers = saw.get("headers", {})
    if headers is UNKNOWN or headers is None:
        headers = Partly() if headers is UNKNOWN else {}
    for name, value in wanted.headers.items():
        yield from _text(f"saw header {name}", value, headers.get(name))


def _text(what: str, wanted: str | None, got: Any) -> Iterable[str]:
    if got is UNKNOWN:
        return
    if wanted is not None and wanted.startswith("~"):
        right = got is not None and re.fullmatch(wanted[1:], got, re.DOTALL) is not None
    else:
        right = got == wanted
    if not right:
        yield f"{what} is {got!r}, wanted {wanted!r}"


def _counted(answers: Iterable[Answer], of: Callable[[Answer], Any]) -> dict[Any, float]:
    answers = list(answers)
    total = sum(item.weight for item in answers)
    shares: dict[Any, float] = {}
    for item in answers:
        shares[of(item)] = shares.get(of(item), 0.0) + 100.0 * item.weight / total
    return shares


def _shares(what: str, wanted: Mapping[Any, float], got: Mapping[Any, float], call: RowCall) -> Iterable[str]:
    for key in {**wanted, **got}:
        share, came = wanted.get(key, 0.0), got.get(key, 0.0)
        if abs(came - share) > tolerance(call, share):
            yield f"{what}: {key!r} {came:.1f} %, wanted {share:.1f} %; all: {dict(got)}"


def tolerance(call: RowCall, share: float) -> float:
    """Percentage points by which a share may be off: none for all or nothing, else what chance may bring once in ten
    million runs."""
    if share in (0.0, 100.0):
        return 1e-6
    if call.expect.tolerance is not None:
        return call.expect.tolerance
    part = share / 100.0
    return 600.0 * sqrt(part * (1.0 - part) / call.count)
