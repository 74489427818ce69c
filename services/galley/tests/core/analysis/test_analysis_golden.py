"""Each folder of testdata is one set of objects; `messages.yaml` says what analysis finds. `make golden` writes it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from galley.core.analysis.analysis import analyze
from galley.core.analysis.analyzer import Moment
from galley.core.analysis.default_objects import default_objects
from galley.core.analysis.documents import read_documents
from galley.core.analysis.inputs import Inputs
from galley.core.analysis.kinds import MESH_NETWORKS
from galley.core.analysis.message import Message
from galley.core.analysis.message_types import (
    INCONSISTENT_SERVICE,
    INTERNAL_ERROR,
    MESSAGE_TYPES,
    SCHEMA_ERROR,
    SCHEMA_WARNING,
)
from galley.core.analysis.resource import Resource, resources_of
from galley.core.patch.json_patch import apply_json_patch
from meshcore.model.load import Document
from meshcore.testing.golden import Golden, case_directories, to_yaml

TESTDATA = Path(__file__).parent / "testdata"
CASES = case_directories(TESTDATA)
NOW = 1_800_000_000.0


def resources(case: Path) -> list[Resource]:
    documents, problems = read_documents((case / "in.yaml").read_text(), "in.yaml")
    assert problems == []
    return list(resources_of(documents))


def messages(found: list[Resource]) -> tuple[Message, ...]:
    return analyze(Inputs([*default_objects({}), *found]), Moment(NOW))


def listed(message: Message) -> dict[str, Any]:
    """What a golden file holds: of the sentences of validation only the field, the rest is theirs to test."""
    found = message.document()
    del found["documentationUrl"]
    if message.type in (SCHEMA_ERROR, SCHEMA_WARNING):
        found["message"] = ": ".join(message.text.split(": ")[:2])
    return found


@pytest.mark.parametrize("case", CASES)
def test_messages_golden(case: Path, golden: Golden) -> None:
    golden(case, {"messages.yaml": to_yaml([listed(message) for message in messages(resources(case))])})


@pytest.mark.parametrize("case", CASES)
def test_every_proposed_patch_removes_its_message(case: Path) -> None:
    found = resources(case)
    before = messages(found)
    for message in before:
        if message.fix is None or not message.fix.patch or message.resource is None:
            continue
        if message.resource.kind == MESH_NETWORKS:
            continue  # the object stands in a ConfigMap's text
        fixed = [patched(message) if resource is message.resource else resource for resource in found]
        assert count(message, messages(fixed)) < count(message, before), message.log_line()


def count(message: Message, among: tuple[Message, ...]) -> int:
    said = (message.type.code, message.origin, message.text)
    return sum(1 for one in among if (one.type.code, one.origin, one.text) == said)


def patched(message: Message) -> Resource:
    assert message.resource is not None
    assert message.fix is not None
    body: Any = apply_json_patch(message.resource.body, message.fix.patch)
    (made,) = resources_of([Document("in.yaml", 1, body)])
    return made


def test_every_code_has_a_case() -> None:
    covered = {
        message["code"]
        for case in TESTDATA.iterdir()
        for message in yaml.safe_load((case / "messages.yaml").read_text())
    }
    assert set(MESSAGE_TYPES) - covered == {INTERNAL_ERROR.code, INCONSISTENT_SERVICE.code}
