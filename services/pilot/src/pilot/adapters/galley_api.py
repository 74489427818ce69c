"""Galley's config API, as Pilot writes to it: with the token that Galley knows it by, on Galley's own certificate."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import httpx
from meshcore.tls.contexts import ssl_root_context

from pilot.settings import PilotSettings

TOKEN_FILE, ROOT_FILE = "status-token", "root-cert.pem"
TIMEOUT = 5.0
MERGE = {"content-type": "application/merge-patch+json"}
"""Headers of a JSON Merge Patch."""


@contextlib.asynccontextmanager
async def galley_api(settings: PilotSettings) -> AsyncIterator[httpx.AsyncClient]:
    """A client for some requests; the files are read each time, as they may be replaced."""
    directory = settings.identity_dir or Path()
    token = await asyncio.to_thread((directory / TOKEN_FILE).read_text)
    root = await asyncio.to_thread((directory / ROOT_FILE).read_bytes)
    headers = {"authorization": f"Bearer {token.strip()}", "user-agent": "pilot"}
    async with httpx.AsyncClient(
        base_url=settings.galley_url.rstrip("/"),
        headers=headers,
        verify=ssl_root_context(root),
        timeout=TIMEOUT,
        trust_env=False,
    ) as client:
        yield client


def is_final(answer: httpx.Response) -> bool:
    """Whether it was done, or the object is gone; False when asking again would be refused again. Raises when Galley
    cannot answer now."""
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        answer.raise_for_status()
    return answer.is_success or answer.status_code == HTTPStatus.NOT_FOUND
