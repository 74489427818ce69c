"""A service renews its own certificate through Citadel at half of its life, proving itself with the present one."""

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshcore.errors import ErrorCode, MeshError
from meshcore.rotation import GRACE_JITTER, time_to_rotation
from meshcore.tls.grpc_credentials import grpc_channel_credentials
from meshcore.tls.identity import LiveIdentity, ServiceIdentity
from meshcore.tls.private_key import PrivateKeyPem

CALL_TIMEOUT = 10.0
FIRST_RETRY = 1.0
LAST_RETRY = 300.0
LONGEST_SLEEP = 3600.0
"""Seconds: per call, first and longest pause after a failure, longest sleep (clocks may jump)."""
_log = structlog.get_logger("renewal")


async def keep_current(identity: LiveIdentity, citadel: str) -> None:
    """Renew at half-life, for ever; `citadel` is `host:port`. While Citadel is away the present pair stays in use."""
    retry = FIRST_RETRY
    jitter = random.uniform(-GRACE_JITTER, GRACE_JITTER)  # noqa: S311 - spreads renewals, not a secret
    while True:
        current = identity.current
        wait = time_to_rotation(datetime.now(UTC), current.not_before, current.not_after, jitter=jitter)
        if wait:
            await asyncio.sleep(min(wait.total_seconds(), LONGEST_SLEEP))
            continue
        try:
            renewed = await renew(current, citadel)
        except MeshError as error:
            _log.warning(
                "certificate not renewed", reason=error.detail, retry=retry, until=current.not_after.isoformat()
            )
            await asyncio.sleep(retry)
            retry = min(retry * 2, LAST_RETRY)
            continue
        retry = FIRST_RETRY
        identity.replace(renewed)
        _log.info("certificate renewed", not_after=renewed.not_after.isoformat())


async def renew(current: ServiceIdentity, citadel: str) -> ServiceIdentity:
    """A new key with its certificate, for the caller that the present certificate names.

    UNAVAILABLE when Citadel cannot be reached or refuses, INTERNAL when what it answers is not for this key and name.
    """
    import grpc

    from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc

    key = ec.generate_private_key(ec.SECP256R1())
    request = ca_pb2.IstioCertificateRequest(csr=_signing_request(key))
    async with grpc.aio.secure_channel(citadel, grpc_channel_credentials(current)) as channel:
        try:
            answer = await ca_pb2_grpc.IstioCertificateServiceStub(channel).CreateCertificate(
                request, timeout=CALL_TIMEOUT
            )
        except grpc.aio.AioRpcError as error:
            raise MeshError(ErrorCode.UNAVAILABLE, f"Citadel: {error.code().name}: {error.details()}") from None
    return _checked(answer.cert_chain, key, current)


def _signing_request(key: ec.EllipticCurvePrivateKey) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _checked(elements: Any, key: ec.EllipticCurvePrivateKey, current: ServiceIdentity) -> ServiceIdentity:
    if len(elements) < 2:
        raise MeshError(ErrorCode.INTERNAL, "Citadel answered with an empty chain")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    renewed = ServiceIdentity(PrivateKeyPem(pem), "".join(elements[:-1]).encode(), elements[-1].encode())
    try:
        right = renewed.certificate.public_key() == key.public_key() and renewed.spiffe == current.spiffe
    except ValueError:
        right = False
    if not right:
        raise MeshError(ErrorCode.INTERNAL, "Citadel answered with a certificate for another key or identity")
    return renewed
