"""What a gRPC call brings besides a client certificate, in the order of Istio: OIDC token, TokenReview, gateway.

The first proof that holds counts. Why the others failed is for the log, never for the caller.
"""

import ipaddress
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

from meshcore.authentication.proven import ProvenIdentity, TokenRefused, Way
from meshcore.authentication.token_keys import TokenKeys
from meshcore.authentication.token_reviewers import TokenReviewers
from meshcore.authentication.workload_token import TokenRules, identity_of_token, key_id
from meshcore.authentication.xfcc import ForwardedRefused, forwarded_identity

_BEARER = "Bearer "
_FORWARDED = "x-forwarded-client-cert"
_CLUSTER = "clusterid"
Networks = Collection[ipaddress.IPv4Network | ipaddress.IPv6Network]
Metadata = Iterable[tuple[str, Any]]


class CallProofs:
    """Whose proofs a service takes; each part may be missing."""

    def __init__(
        self,
        trust_domain: str,
        *,
        keys: TokenKeys | None = None,
        rules: TokenRules | None = None,
        reviewers: TokenReviewers | None = None,
        gateways: Networks = (),
    ) -> None:
        self._trust_domain = trust_domain
        self._keys = keys
        self._rules = rules
        self._reviewers = reviewers
        self._gateways = gateways

    @property
    def any(self) -> bool:
        """Whether anything besides a client certificate can prove a caller."""
        return self._keys is not None or self._reviewers is not None or bool(self._gateways)

    async def identify(
        self, metadata: Metadata, address: str, aliases: Collection[str], reasons: list[str]
    ) -> ProvenIdentity | None:
        """The identity that a call proves; None, and `reasons` gets what is wrong with each proof.

        `address` is `host:port` of the connection; `aliases` are former names of the trust domain.
        """
        metadata = tuple(metadata)
        return await self._by_token(metadata, reasons) or self._by_gateway(metadata, address, aliases, reasons)

    async def _by_token(self, metadata: Metadata, reasons: list[str]) -> ProvenIdentity | None:
        token = bearer_token(metadata)
        if token is None:
            reasons.append("no bearer token")
            return None
        if self._keys is not None and self._rules is not None:
            try:
                keys = await self._keys.with_key(key_id(token))
                return identity_of_token(token, keys, self._rules, datetime.now(UTC))
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

    def _by_gateway(
        self, metadata: Metadata, address: str, aliases: Collection[str], reasons: list[str]
    ) -> ProvenIdentity | None:
        if not self._gateways:
            return None
        headers = [value for name, value in metadata if name == _FORWARDED and isinstance(value, str)]
        if not headers:
            reasons.append("no forwarded client certificate")
            return None
        if not self._is_gateway(address):
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
        if identity.trust_domain != self._trust_domain and identity.trust_domain not in aliases:
            reasons.append("the forwarded client certificate is of another trust domain")
            return None
        return ProvenIdentity(identity, Way.GATEWAY)

    def _is_gateway(self, address: str) -> bool:
        host = address.rpartition(":")[0].strip("[]").partition("%")[0]
        try:
            found = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(found in network for network in self._gateways if network.version == found.version)


def bearer_token(metadata: Metadata) -> str | None:
    """The first `authorization` value with the exact prefix `Bearer `, as Istio reads it."""
    for name, value in metadata:
        if name == "authorization" and isinstance(value, str) and value.startswith(_BEARER):
            return value[len(_BEARER) :].strip() or None
    return None


def cluster_of(metadata: Metadata) -> str:
    """The cluster that the caller names; empty unless it names exactly one, as Istio reads it."""
    named = [value for name, value in metadata if name == _CLUSTER and isinstance(value, str)]
    return named[0] if len(named) == 1 else ""
