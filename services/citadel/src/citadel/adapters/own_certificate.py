"""Citadel's own serving certificate: renewed by itself, since it cannot ask anybody else."""

import asyncio
import random
from datetime import UTC, datetime

import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.errors import ErrorCode, MeshError
from meshcore.rotation import GRACE_JITTER, time_to_rotation
from meshcore.tls import LiveIdentity, PrivateKeyPem, ServiceIdentity

from citadel.adapters.issuer import Issuer
from citadel.core.caller import caller_of_certificate
from citadel.core.profile import SERVICE

LONGEST_SLEEP = 3600.0
_log = structlog.get_logger("own-certificate")


async def keep_current(identity: LiveIdentity, issuer: Issuer, trust_domain: str, root_namespace: str) -> None:
    """Replace the certificate at half of its life, for ever. Clocks may jump, so no sleep is longer than an hour."""
    jitter = random.uniform(-GRACE_JITTER, GRACE_JITTER)  # noqa: S311 - spreads renewals, not a secret
    while True:
        current = identity.current
        wait = time_to_rotation(datetime.now(UTC), current.not_before, current.not_after, jitter=jitter)
        if wait:
            await asyncio.sleep(min(wait.total_seconds(), LONGEST_SLEEP))
            continue
        await renew(identity, issuer, trust_domain, root_namespace)


async def renew(identity: LiveIdentity, issuer: Issuer, trust_domain: str, root_namespace: str) -> None:
    """Issue a new certificate for the names of the present one and take it into use."""
    caller = caller_of_certificate(identity.current.certificate, trust_domain, root_namespace)
    if caller is None:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the service's certificate has no identity of its trust domain")
    key = ec.generate_private_key(ec.SECP256R1())
    issued = await issuer.issue(caller, key.public_key(), SERVICE, SERVICE.default_ttl, "self")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    identity.replace(ServiceIdentity(PrivateKeyPem(pem), "".join(issued.chain).encode(), issued.bundle.encode()))
    _log.info("own certificate renewed", not_after=issued.template.not_after.isoformat())
