"""Asks a Kubernetes API server who may have Secrets (SubjectAccessReview), for the proxies that need some."""

import asyncio
import contextlib
import time

import structlog
from meshcore.http.kubeconfig import Access
from meshcore.http.reviews import TIMEOUT, NoVerdict, ask_review

from pilot.adapters.hub import Hub
from pilot.core.secret_rights import PATH, Account, allowed_by, review_of

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
            allowed = allowed_by(await ask_review(self._client, PATH, review_of(account)))
            reason = "the API server answered with something else"
        except NoVerdict as error:
            allowed, reason = None, str(error)
        if allowed is None:
            _log.warning("the right to read secrets is not known", account="/".join(account), reason=reason)
            self._hub.engine.rights.postpone(account, time.monotonic())
            return
        if not allowed:
            _log.warning("proxy may not read secrets", account="/".join(account))
        self._hub.take_right(account, allowed)
