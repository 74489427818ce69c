"""Citadel's own serving certificate: renewed by itself, since it cannot ask anybody else."""

import asyncio
import contextlib
import random
import time
from datetime import UTC, datetime

import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore.errors import ErrorCode, MeshError
from meshcore.rotation import GRACE_JITTER, LEAST_BETWEEN, time_to_rotation
from meshcore.tls import LiveIdentity, PrivateKeyPem, ServiceIdentity

from citadel.adapters.authority_in_force import AuthorityInForce
from citadel.adapters.issuer import Issuer
from citadel.core.authority import Authority
from citadel.core.caller import caller_of_certificate, issuer_among
from citadel.core.profile import SERVICE

LONGEST_SLEEP = 3600.0
_log = structlog.get_logger("own-certificate")


async def keep_current(
    identity: LiveIdentity, issuer: Issuer, in_force: AuthorityInForce, trust_domain: str, root_namespace: str
) -> None:
    """Replace the certificate at half of its life and whenever the authority changes, for ever.

    A new certificate, not just a new bundle: the ledger then says which bundle Citadel itself has. Clocks may jump, so
    no sleep is longer than an hour.
    """
    jitter = random.uniform(-GRACE_JITTER, GRACE_JITTER)  # noqa: S311 - spreads renewals, not a secret
    changed, rested = asyncio.Event(), 0.0
    in_force.on_change(lambda *_: changed.set())
    while True:
        changed.clear()
        current = identity.current
        wait = time_to_rotation(datetime.now(UTC), current.not_before, current.not_after, jitter=jitter)
        seconds = max(wait.total_seconds(), rested - time.monotonic())
        if seconds <= 0 or not is_of(current, in_force.current):
            await renew(identity, issuer, trust_domain, root_namespace, in_force.current.revoked_pem.encode())
            rested = time.monotonic() + LEAST_BETWEEN
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, LONGEST_SLEEP)):
                await changed.wait()


def is_of(identity: ServiceIdentity, authority: Authority) -> bool:
    """Whether the present signer made it and it came with the present roots and lists."""
    made = issuer_among(identity.certificate, [authority.certificate])
    believed = authority.bundle_pem.encode(), authority.revoked_pem.encode()
    return made is not None and (identity.root, identity.revoked) == believed


async def renew(identity: LiveIdentity, issuer: Issuer, trust_domain: str, root_namespace: str, revoked: bytes) -> None:
    """Issue a new certificate for the names of the present one and take it into use."""
    caller = caller_of_certificate(identity.current.certificate, trust_domain, root_namespace)
    if caller is None:
        raise MeshError(ErrorCode.FAILED_PRECONDITION, "the service's certificate has no identity of its trust domain")
    key = ec.generate_private_key(ec.SECP256R1())
    issued = await issuer.issue(caller, key.public_key(), SERVICE, SERVICE.default_ttl, "self")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = "".join(issued.chain).encode()
    identity.replace(ServiceIdentity(PrivateKeyPem(pem), chain, issued.bundle.encode(), revoked))
    _log.info("own certificate renewed", not_after=issued.template.not_after.isoformat())
