"""Asking a Kubernetes API server for a verdict: TokenReview, SubjectAccessReview. Nothing of its answers is kept."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

TIMEOUT = httpx.Timeout(5.0)
LARGEST_ANSWER = 256 * 1024


class NoVerdict(Exception):
    """Why there is none, in words that hold nothing of the question."""


async def ask_review(client: httpx.AsyncClient, path: str, question: Mapping[str, Any]) -> Any:
    """The answer as JSON, whatever is in it; NoVerdict when the server is away, refuses or answers with too much."""
    try:
        async with client.stream("POST", path, json=dict(question)) as answer:
            if answer.status_code not in (200, 201):
                raise NoVerdict(f"the API server answered {answer.status_code}")
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise NoVerdict("the API server answered with too much")
        return json.loads(body)
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise NoVerdict(f"the API server did not answer: {type(error).__name__}") from None
