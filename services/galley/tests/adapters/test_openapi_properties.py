"""Requests drawn from the OpenAPI document of the admin API: every answer is one that the document tells of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from meshcore.testing.addresses import claim
from meshcore.testing.galley import GalleyProcess, bearer, running
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

ENDLESS = "/api/v1/changes/events"
"""A stream that has no end cannot be read to it."""
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def galley(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GalleyProcess]:
    with claim() as block, running(GalleyProcess(tmp_path_factory.mktemp("galley"), block.address())) as process:
        yield process


def test_the_admin_api_answers_as_its_document_says(galley: GalleyProcess):
    schema = schemathesis.openapi.from_url(f"{galley.admin_url}/openapi.json", headers=bearer()).exclude(path=ENDLESS)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:

        @settings(
            max_examples=15,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def answers(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=bearer(), checks=CHECKS, timeout=60)

        answers()
