"""What a client certificate has opened ends when it is revoked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from cryptography import x509

from meshcore.errors import ErrorCode, MeshError
from meshcore.tls.identity import LiveIdentity, ServiceIdentity


@contextlib.asynccontextmanager
async def until_revoked(identity: LiveIdentity, chain: Sequence[x509.Certificate]) -> AsyncIterator[None]:
    """Cancel the block, UNAUTHENTICATED, once a list that came with `identity`'s roots has one of `chain`.

    One that came before counts, too: the client may have been looked at a while ago.
    """
    scope = asyncio.timeout(None)

    def look(current: ServiceIdentity) -> None:
        if current.revokes(chain):
            scope.reschedule(0)

    try:
        async with scope:
            with identity.listening(look):
                look(identity.current)
                yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise MeshError(ErrorCode.UNAUTHENTICATED, "the client certificate is revoked") from None
