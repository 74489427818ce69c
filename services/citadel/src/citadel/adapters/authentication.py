"""Who calls over gRPC, in the order of Istio's authority: client certificate, OIDC token, TokenReview, gateway.

The first proof that holds counts. Why the others failed goes to the log, never to the caller.
"""

import ipaddress
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from cryptography import x509
from meshcore.tls.revocation import revokes

from citadel.adapters import telemetry
from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.tls_front import Peers
from citadel.adapters.token_keys import TokenKeys
from citadel.adapters.token_reviewers import TokenReviewers
from citadel.core.authority import key_id_of
from citadel.core.caller import AuthenticatedCaller, Proof, caller_of_certificate, issuer_among
from citadel.core.refusal import authentication_refused
from citadel.core.workload_token import TokenRefused, TokenRules, caller_of_token, key_id
from citadel.core.xfcc import ForwardedRefused, forwarded_identity

_BEARER = "Bearer "
_FORWARDED = "x-forwarded-client-cert"
_CLUSTER = "clusterid"
_log = structlog.get_logger("authentication")
Networks = Collection[ipaddress.IPv4Network | ipaddress.IPv6Network]


class CallerAuthenticator:
    """Decides who a gRPC caller is. `aliases` are former names of the trust domain, and may change."""

    def __init__(
        self,
        peers: Peers,
        trust_domain: str,
        root_namespace: str,
        in_force: AuthorityInForce,
        *,
        keys: TokenKeys | None = None,
        rules: TokenRules | None = None,
        reviewers: TokenReviewers | None = None,
        gateways: Networks = (),
    ) -> None:
        self._peers = peers
        self._trust_domain = trust_domain
        self._root_namespace = root_namespace
        self._in_force = in_force
        self._keys = keys
        self._rules = rules
        self._reviewers = reviewers
        self._gateways = gateways
        self.aliases: frozenset[str] = frozenset()

    async def authenticate(self, context: Any) -> AuthenticatedCaller:
        """The caller; UNAUTHENTICATED when nothing proves one."""
        reasons: list[str] = []
        by_certificate = self.by_certificate(context, reasons)
        if by_certificate is not None:
            return by_certificate
        metadata = context.invocation_metadata() or ()
        found = await self._by_token(metadata, reasons) or self._by_gateway(context, metadata, reasons)
        if found is not None:
            return found
        telemetry.AUTHENTICATION_FAILURES.inc()
        _log.info("caller not authenticated", peer=self._peers.address(context.peer()), reasons=reasons)
        raise authentication_refused()

    def by_certificate(self, context: Any, reasons: list[str]) -> AuthenticatedCaller | None:
        """The caller by its client certificate alone; otherwise `reasons` gets one more."""
        certificate = self._peers.certificate(context.peer())
        if certificate is None:
            reasons.append("no client certificate")
            return None
        if certificate.not_valid_after_utc <= datetime.now(UTC):
            # TLS checked it at the handshake; a connection may live longer than that.
            reasons.append("the client certificate has expired")
            return None
        if revokes(self._in_force.current.revoked, [certificate]):
            reasons.append("the client certificate is revoked")
            return None
        # What is verified once for a connection holds until the authority or the aliases change.
        remembered = self._peers.remembered(context.peer())
        state = (self._in_force.generation, self.aliases)
        if remembered.get("state") == state:
            return cast(AuthenticatedCaller, remembered["caller"])
        caller = self._of_certificate(certificate, reasons)
        if caller is not None:
            remembered |= {"state": state, "caller": caller}
        return caller

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

    async def _by_token(self, metadata: Any, reasons: list[str]) -> AuthenticatedCaller | None:
        token = bearer_token(metadata)
        if token is None:
            reasons.append("no bearer token")
            return None
        if self._keys is not None and self._rules is not None:
            try:
                keys = await self._keys.with_key(key_id(token))
                return caller_of_token(token, keys, self._rules, datetime.now(UTC))
            except TokenRefused as error:
                reasons.append(str(error))
        if self._reviewers is not None:
            try:
                return await self._reviewers.review(token, cluster_of(metadata))
            except TokenRefused as error:
                reasons.append(str(error))
        if self._keys is None and self._reviewers is None:
            reasons.append("no token issuer is configured")
        return None

    def _by_gateway(self, context: Any, metadata: Any, reasons: list[str]) -> AuthenticatedCaller | None:
        if not self._gateways:
            return None
        headers = [value for name, value in metadata if name == _FORWARDED and isinstance(value, str)]
        if not headers:
            reasons.append("no forwarded client certificate")
            return None
        if not self._is_gateway(self._peers.address(context.peer())):
            reasons.append("the forwarded client certificate is not from a trusted gateway")
            return None
        if len(headers) != 1:
            reasons.append("there is more than one forwarded client certificate")
            return None
        try:
            identity = forwarded_identity(headers[0])
        except ForwardedRefused as error:
            reasons.append(str(error))
            return None
        if identity.trust_domain != self._trust_domain and identity.trust_domain not in self.aliases:
            reasons.append("the forwarded client certificate is of another trust domain")
            return None
        return AuthenticatedCaller(identity, Proof.GATEWAY)

    def _is_gateway(self, address: str) -> bool:
        host = address.rpartition(":")[0].partition("%")[0]
        try:
            found = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(found in network for network in self._gateways if network.version == found.version)


def bearer_token(metadata: Any) -> str | None:
    """The first `authorization` value with the exact prefix `Bearer `, as Istio reads it."""
    for name, value in metadata:
        if name == "authorization" and isinstance(value, str) and value.startswith(_BEARER):
            return str(value[len(_BEARER) :].strip()) or None
    return None


def cluster_of(metadata: Any) -> str:
    """The cluster that the caller names; empty unless it names exactly one, as Istio reads it."""
    named = [value for name, value in metadata if name == _CLUSTER and isinstance(value, str)]
    return named[0] if len(named) == 1 else ""
