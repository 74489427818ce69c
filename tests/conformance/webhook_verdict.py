"""What Galley's validating webhook says of one config object, asked as an API server asks."""

import asyncio
import json
from typing import Any

import httpx
from galley.adapters.webhook import create_webhook
from galley.core.admission_review import VERSIONS
from galley.core.kind_rules import Naming
from structlog.testing import capture_logs

from tests.conformance.config_verdict import Case, Said, compare, verdict_of
from tests.conformance.outcome import Outcome, failed, not_applicable

_UNKNOWN = "unknown field"
_WITHOUT_LIMIT = 1e9
_app = create_webhook(
    Naming(), requests_per_second=_WITHOUT_LIMIT, requests_burst=_WITHOUT_LIMIT, request_timeout=_WITHOUT_LIMIT
)


def by_webhook(case: Case) -> Outcome:
    """As `/validate` answers, in every version of the review. Unknown fields are not its business: the API server drops
    or refuses them itself."""
    errors = verdict_of(case.body).errors
    if errors and all(error.message == _UNKNOWN for error in errors):
        return not_applicable(case.title, "refused for unknown fields alone, which the API server sees to")
    with capture_logs():  # it logs what it refuses, into the report
        answers = asyncio.run(_answers(case.body))
    if len(set(answers)) != 1:
        return failed(case.title, f"the versions of the review differ: {answers}")
    return compare(case, answers[0])


async def _answers(body: Any) -> list[Said]:
    transport = httpx.ASGITransport(_app)
    async with httpx.AsyncClient(transport=transport, base_url="https://galley") as client:
        return [_read(await client.post("/validate", json=_review(version, body))) for version in VERSIONS]


def _review(version: str, body: Any) -> dict[str, Any]:
    request = {"uid": "case", "operation": "CREATE", "object": body}
    return {"apiVersion": version, "kind": "AdmissionReview", "request": request}


def _read(answer: httpx.Response) -> Said:
    response = json.loads(answer.raise_for_status().content)["response"]
    errors = () if response["allowed"] else (str(response["status"]["message"]),)
    return Said(errors, tuple(response.get("warnings", ())))
