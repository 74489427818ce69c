"""Structural limits and CEL rules of the kinds' schemas."""

import json
from collections.abc import Iterator
from pathlib import Path

from meshcore.model.load import load_yaml_documents

from tests.conformance.config_verdict import Case, by_validation, is_known, judging
from tests.conformance.outcome import Outcome, failed
from tests.conformance.webhook_verdict import by_webhook

SET = "crd-rules"
_EXPECTED_ERROR = "_err"
"""A key of the documents themselves that says what a server complains of; not part of the object."""


def cases(directory: Path) -> Iterator[Case | Outcome]:
    """Each document of each file against the verdict of its place in the file."""
    for name, expected in json.loads((directory / "expected.json").read_text(encoding="utf-8")).items():
        documents = load_yaml_documents((directory / name).read_text(encoding="utf-8"), name)
        for case in expected:
            title = f"{name}/{case['name']}"
            body = {key: value for key, value in documents[case["index"]].body.items() if key != _EXPECTED_ERROR}
            if not is_known(body):
                yield failed(title, f"there is no kind {body.get('kind')}")
            else:
                yield Case(title, body, case["expect"])


run = judging(cases, by_validation)
run_webhook = judging(cases, by_webhook)
