"""Who calls over gRPC: by client certificate first, by workload token second, as Istio's authority does it."""

from datetime import UTC, datetime
from typing import Any

import structlog

from citadel.adapters import telemetry
from citadel.adapters.tls_front import Peers
from citadel.adapters.token_keys import TokenKeys
from citadel.core.caller import AuthenticatedCaller, caller_of_certificate
from citadel.core.refusal import authentication_refused
from citadel.core.workload_token import TokenRefused, TokenRules, caller_of_token, key_id

_BEARER = "Bearer "
_log = structlog.get_logger("authentication")


class CallerAuthenticator:
    """Decides who a gRPC caller is; why a proof failed goes to the log, never to the caller."""

    def __init__(
        self,
        peers: Peers,
        trust_domain: str,
        root_namespace: str,
        keys: TokenKeys | None = None,
        rules: TokenRules | None = None,
    ) -> None:
        self._peers = peers
        self._trust_domain = trust_domain
        self._root_namespace = root_namespace
        self._keys = keys
        self._rules = rules

    async def authenticate(self, context: Any) -> AuthenticatedCaller:
        """The caller; UNAUTHENTICATED when neither certificate nor token proves one."""
        reasons: list[str] = []
        by_certificate = self.by_certificate(context, reasons)
        if by_certificate is not None:
            return by_certificate
        token = bearer_token(context.invocation_metadata() or ())
        if token is None:
            reasons.append("no bearer token")
        elif self._keys is None or self._rules is None:
            reasons.append("no token issuer is configured")
        else:
            try:
                keys = await self._keys.with_key(key_id(token))
                return caller_of_token(token, keys, self._rules, datetime.now(UTC))
            except TokenRefused as error:
                reasons.append(str(error))
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
        caller = caller_of_certificate(certificate, self._trust_domain, self._root_namespace)
        if caller is None:
            telemetry.IDENTITY_ERRORS.inc()
            reasons.append("the client certificate has no identity of this trust domain")
        return caller


def bearer_token(metadata: Any) -> str | None:
    """The first `authorization` value with the exact prefix `Bearer `, as Istio reads it."""
    for name, value in metadata:
        if name == "authorization" and isinstance(value, str) and value.startswith(_BEARER):
            return str(value[len(_BEARER) :].strip()) or None
    return None
