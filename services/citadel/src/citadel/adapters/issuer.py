"""One certificate: template, signature, check, ledger, and only then out."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa

from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.root_store import new_serial
from citadel.core.caller import AuthenticatedCaller
from citadel.core.issuance import IssuedSvid, issue, prepare
from citadel.core.profile import Profile

Record = Callable[[IssuedSvid, str], Awaitable[None]]


class Issuer:
    """Issues under the authority in force; `record` makes a certificate durable in the ledger."""

    def __init__(self, in_force: AuthorityInForce, record: Record) -> None:
        self._in_force = in_force
        self._record = record

    async def issue(
        self, caller: AuthenticatedCaller, public_key: object, profile: Profile, ttl: timedelta, peer: str
    ) -> IssuedSvid:
        """A recorded certificate for `caller`; `peer` is where the request came from, for the ledger."""
        now = datetime.now(UTC)
        authority = self._in_force.current
        prepared = prepare(caller, public_key, profile, ttl, now, serial=new_serial(), authority=authority)
        if isinstance(authority.key, rsa.RSAPrivateKey):
            # RSA signing takes a millisecond and releases the GIL; P-256 is faster than the way to a thread.
            issued = await asyncio.to_thread(issue, prepared)
        else:
            issued = issue(prepared)
        await self._record(issued, peer)
        return issued
