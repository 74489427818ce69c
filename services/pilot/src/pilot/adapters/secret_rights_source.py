"""Asks a Kubernetes API server who may have Secrets (SubjectAccessReview), for the proxies that need some."""

import asyncio
import contextlib
import json
import time

import httpx
import structlog
from meshcore.http.kubeconfig import Access

from pilot.adapters.hub import Hub
from pilot.core.secret_rights import PATH, Account, allowed_by, review_of

TIMEOUT = httpx.Timeout(5.0)
LARGEST_ANSWER = 256 * 1024
_log = structlog.get_logger("secrets")


class SecretRightsSource:
    """One for a process. What an API server that is away had decided stays."""

    def __init__(self, hub: Hub, access: Access) -> None:
        self._hub = hub
        self._client = access.client(TIMEOUT)

    async def run(self) -> None:
        """Never returns."""
        rights = self._hub.engine.rights
        async with self._client:
            while True:
                self._hub.rights_wanted.clear()
                users = self._hub.engine.secret_users()
                rights.forget(users, time.monotonic())
                for account in rights.due(users, time.monotonic()):
                    await self._ask(account)
                due = rights.next_due(users)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if due is None else max(0.0, due - time.monotonic())):
                        await self._hub.rights_wanted.wait()

    async def _ask(self, account: Account) -> None:
        try:
            async with self._client.stream("POST", PATH, json=review_of(account)) as answer:
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > LARGEST_ANSWER:
                        raise ValueError("too much")
            allowed = allowed_by(json.loads(body)) if answer.status_code in (200, 201) else None
            problem = "" if allowed is not None else f"the API server answered {answer.status_code}"
        except (httpx.HTTPError, OSError, ValueError) as error:
            allowed, problem = None, type(error).__name__
        if allowed is None:
            _log.warning("the right to read secrets is not known", account="/".join(account), reason=problem)
            self._hub.engine.rights.postpone(account, time.monotonic())
            return
        if not allowed:
            _log.warning("proxy may not read secrets", account="/".join(account))
        self._hub.take_right(account, allowed)
