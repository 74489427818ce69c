"""What a client certificate has opened ends when it is revoked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from cryptography import x509

from meshcore.errors import ErrorCode, MeshError
from meshcore.tls.identity import LiveIdentity, ServiceIdentity


@contextlib.asynccontextmanager
async def until_revoked(identity: LiveIdentity, chain: Sequence[x509.Certificate]) -> AsyncIterator[None]:
    """Cancel the block, UNAUTHENTICATED, once a list that came with `identity`'s roots has one of `chain`."""
    scope = asyncio.timeout(None)

    def look(current: ServiceIdentity) -> None:
        if current.revokes(chain):
            scope.reschedule(0)

    try:
        async with scope:
            with identity.listening(look):
                yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise MeshError(ErrorCode.UNAUTHENTICATED, "the client certificate is revoked") from None
