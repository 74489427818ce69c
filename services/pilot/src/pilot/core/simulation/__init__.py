"""The simulator: what a proxy with these resources does with a call or a connection. One for tests and the product."""

from pilot.core.simulation.admission import Admission, Decision, admission
from pilot.core.simulation.calls import HTTP1, ISTIO, Arrival, Call, Outcome
from pilot.core.simulation.explanation import Explanation, explain
from pilot.core.simulation.question import Question, parse_question
from pilot.core.simulation.rbac_terms import Asked
from pilot.core.simulation.traffic import arrive, simulate

__all__ = [
    "HTTP1",
    "ISTIO",
    "Admission",
    "Arrival",
    "Asked",
    "Call",
    "Decision",
    "Explanation",
    "Outcome",
    "Question",
    "admission",
    "arrive",
    "explain",
    "parse_question",
    "simulate",
]
