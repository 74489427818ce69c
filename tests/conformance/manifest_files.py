"""Sets of whole files that must be accepted: every document parses and passes, other people's kinds pass through."""

import json
from collections.abc import Iterator
from pathlib import Path

from meshcore.errors import MeshError
from meshcore.model.load import load_yaml_documents
from meshctl.core.validation import validate_documents

from tests.conformance.outcome import Outcome, failed, passed

_PRUNED = "valid-with-unknown-fields"
_UNKNOWN = "unknown field"


def run_files(directory: Path) -> Iterator[Outcome]:
    """One case for each file of `expected.json`."""
    for name, case in json.loads((directory / "expected.json").read_text(encoding="utf-8")).items():
        yield _judge(name, directory / name, prunes=case["expect"] == _PRUNED)


def _judge(name: str, path: Path, *, prunes: bool) -> Outcome:
    try:
        documents = load_yaml_documents(path.read_text(encoding="utf-8"), name)
    except MeshError as error:
        return failed(name, f"{error.detail}: {[str(violation) for violation in error.violations]}")
    errors = [
        f"{violation.file}:{violation.line}: {violation}"
        for verdict in validate_documents(documents)
        for violation in verdict.errors
        if not (prunes and violation.message == _UNKNOWN)
    ]
    return failed(name, f"expected to be accepted; errors {errors}") if errors else passed(name)
