"""Config documents: refused, accepted, or accepted with a warning."""

from collections.abc import Iterator
from pathlib import Path

from tests.conformance.case_files import read_cases
from tests.conformance.config_verdict import INVALID, Case, by_validation, is_known, judging
from tests.conformance.outcome import Outcome, failed, not_applicable
from tests.conformance.webhook_verdict import by_webhook

SET = "validation"


def cases(directory: Path) -> Iterator[Case | Outcome]:
    """Schema and semantic rules are one check here, so a document that only the schema refuses does not apply."""
    for case in read_cases(directory / "cases.jsonl"):
        document = case["doc"]
        if case["expect"] != INVALID and case.get("crd") == "reject":
            yield not_applicable(case["id"], "valid for the rules alone, refused by the schema")
        elif not is_known(document):
            yield failed(case["id"], f"there is no kind {document.get('kind')}")
        else:
            yield Case(case["id"], document, case["expect"], case["warning"])


run = judging(cases, by_validation)
run_webhook = judging(cases, by_webhook)
