"""Small inputs and the facts that follow from them, by topic."""

import operator
from collections.abc import Iterator
from pathlib import Path

from meshcore.errors import MeshError

from tests.conformance.case_files import read_cases
from tests.conformance.outcome import Outcome, failed, not_applicable, passed
from tests.conformance.topics import NoCounterpartError, agreements, topics

SET = "facts"


def run(directory: Path) -> Iterator[Outcome]:
    """Each case of a topic that has a counterpart here; `{"error": true}` is wanted of what must fail."""
    known, agree = topics(), agreements()
    for case in read_cases(directory / "cases.jsonl"):
        answer = known.get(case["topic"])
        if answer is None:
            yield not_applicable(case["id"], f"no counterpart yet of {case['topic']}")
            continue
        try:
            got = answer(case["in"])
        except NoCounterpartError as error:
            yield not_applicable(case["id"], str(error))
            continue
        except (MeshError, ValueError) as error:
            got = {"error": True}
            reason = f" ({error})"
        else:
            reason = ""
        yield (
            passed(case["id"])
            if agree.get(case["topic"], operator.eq)(got, case["want"])
            else failed(case["id"], f"{case['topic']} of {case['in']}: wanted {case['want']!r}, got {got!r}{reason}")
        )
