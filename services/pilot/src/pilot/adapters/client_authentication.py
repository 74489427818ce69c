"""Who a client of ADS is, in Istio's order: client certificate, then what the call proves else. The first that holds
counts.

Why the others failed goes to the log: every client that proves nothing hears the same.
"""

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from cryptography import x509
from meshcore.authentication.call_proofs import CallProofs
from meshcore.errors import ErrorCode, MeshError
from meshcore.grpc_server import Call
from meshcore.identity import SpiffeId
from meshcore.tls import LiveIdentity, spiffe_of_certificate, until_revoked

REFUSED = "authentication failure"
"""Istio's words."""
_log = structlog.get_logger("ads")


@dataclass(frozen=True, slots=True)
class Client:
    """A proven identity, until when the proof holds as far as that is known, and the chain of its certificate."""

    identity: SpiffeId
    ends: datetime | None
    chain: tuple[x509.Certificate, ...] = ()


class ClientAuthentication:
    """`identity` is whom clients see by TLS; its roots come with the lists of revoked certificates."""

    def __init__(self, proofs: CallProofs, identity: LiveIdentity | None) -> None:
        self._proofs = proofs
        self._identity = identity

    def while_unrevoked(self, client: Client) -> contextlib.AbstractAsyncContextManager[None]:
        """Ends the block when the client's certificate is revoked; one without a certificate cannot be."""
        if self._identity is None or not client.chain:
            return contextlib.nullcontext()
        return until_revoked(self._identity, client.chain)

    async def client(self, call: Call, aliases: Collection[str]) -> Client:
        """The client of a stream; UNAUTHENTICATED when nothing proves one."""
        reasons: list[str] = []
        if (found := self._by_certificate(call.peer.chain, reasons)) is not None:
            return found
        address = call.peer.address
        proven = await self._proofs.identify(call.metadata, address, aliases, reasons)
        if proven is None:
            _log.warning("client not authenticated", peer=address, reasons=reasons)
            raise MeshError(ErrorCode.UNAUTHENTICATED, REFUSED)
        return Client(proven.identity, proven.ends)

    def _by_certificate(self, chain: list[x509.Certificate], reasons: list[str]) -> Client | None:
        if not chain:
            reasons.append("no client certificate")
            return None
        if chain[0].not_valid_after_utc <= datetime.now(UTC):
            # TLS checked it at the handshake; a connection may live longer than that.
            reasons.append("the client certificate has expired")
            return None
        if self._identity is not None and self._identity.current.revokes(chain):
            reasons.append("the client certificate is revoked")
            return None
        identity = spiffe_of_certificate(chain[0])
        if identity is None:
            reasons.append("the client certificate carries no workload identity")
            return None
        return Client(identity, chain[0].not_valid_after_utc, tuple(chain))
