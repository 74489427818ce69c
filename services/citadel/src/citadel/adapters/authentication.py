"""Who calls over gRPC, in the order of Istio's authority: client certificate, then what a call proves else.

The first proof that holds counts. Why the others failed goes to the log, never to the caller.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import structlog
from cryptography import x509
from meshcore.authentication.call_proofs import CallProofs
from meshcore.grpc_server import Call, Peer
from meshcore.tls.revocation import revokes

from citadel.adapters import telemetry
from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.core.authority import key_id_of
from citadel.core.caller import AuthenticatedCaller, Proof, caller_of_certificate, issuer_among
from citadel.core.refusal import authentication_refused

_log = structlog.get_logger("authentication")


class CallerAuthenticator:
    """Decides who a gRPC caller is. `aliases` are former names of the trust domain, and may change."""

    def __init__(
        self,
        trust_domain: str,
        root_namespace: str,
        in_force: AuthorityInForce,
        proofs: CallProofs,
    ) -> None:
        self._trust_domain = trust_domain
        self._root_namespace = root_namespace
        self._in_force = in_force
        self._proofs = proofs
        self.aliases: frozenset[str] = frozenset()

    async def authenticate(self, call: Call) -> AuthenticatedCaller:
        """The caller; UNAUTHENTICATED when nothing proves one."""
        reasons: list[str] = []
        by_certificate = self.by_certificate(call.peer, reasons)
        if by_certificate is not None:
            return by_certificate
        found = await self._proofs.identify(call.metadata, call.peer.address, self.aliases, reasons)
        if found is not None:
            return AuthenticatedCaller(found.identity, Proof(found.way.value))
        telemetry.AUTHENTICATION_FAILURES.inc()
        _log.info("caller not authenticated", peer=call.peer.address, reasons=reasons)
        raise authentication_refused()

    def by_certificate(self, peer: Peer, reasons: list[str]) -> AuthenticatedCaller | None:
        """The caller by its client certificate alone; otherwise `reasons` gets one more."""
        chain = peer.chain
        if not chain:
            reasons.append("no client certificate")
            return None
        certificate = chain[0]
        if certificate.not_valid_after_utc <= datetime.now(UTC):
            # TLS checked it at the handshake; a connection may live longer than that.
            reasons.append("the client certificate has expired")
            return None
        if revokes(self._in_force.current.revoked, chain):
            reasons.append("the client certificate is revoked")
            return None
        # What is verified once for a connection holds until the authority or the aliases change.
        remembered = peer.remembered
        state = (self._in_force.generation, self.aliases)
        if remembered.get("state") == state:
            return cast(AuthenticatedCaller, remembered["caller"])
        caller = self._of_certificate(certificate, reasons)
        if caller is not None:
            remembered |= {"state": state, "caller": caller}
        return caller

    def is_revoked(self, peer: Peer) -> bool:
        """Whether the client certificate of an open connection has been revoked since."""
        return revokes(self._in_force.current.revoked, peer.chain)

    def _of_certificate(self, certificate: x509.Certificate, reasons: list[str]) -> AuthenticatedCaller | None:
        signer = issuer_among(certificate, self._in_force.signers)
        if signer is None:
            # Peers may trust roots of others, and a root may have been dropped since the handshake.
            reasons.append("the client certificate is not of this authority")
            return None
        caller = caller_of_certificate(certificate, self._trust_domain, self._root_namespace, self.aliases)
        if caller is None:
            telemetry.IDENTITY_ERRORS.inc()
            reasons.append("the client certificate has no identity of this trust domain")
            return None
        return replace(caller, proof_signer=key_id_of(signer))
