"""A service keeps its own identity current through Citadel: its certificate, proving itself with the present one, and
the roots that it believes."""

import asyncio
import contextlib
import random
import socket
import time
from datetime import UTC, datetime
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from meshcore.errors import ErrorCode, MeshError
from meshcore.rotation import GRACE_JITTER, LEAST_BETWEEN, time_to_rotation
from meshcore.tls.grpc_credentials import grpc_channel_credentials
from meshcore.tls.identity import LiveIdentity, ServiceIdentity
from meshcore.tls.private_key import PrivateKeyPem
from meshcore.tls.revocation import revocation_lists
from meshcore.tls.trust import Bundle, TrustFollower, leads_to_first

CALL_TIMEOUT = 10.0
FIRST_RETRY = 1.0
LAST_RETRY = 300.0
LONGEST_SLEEP = 3600.0
SETTLE = 2.0
LAGGING = 5.0
"""Seconds: per call, first and longest pause after a failure, longest sleep (clocks may jump), until processes that
share the directory have read a new bundle from it, and until every Citadel signs as the bundle says."""
_log = structlog.get_logger("renewal")


async def keep_current(identity: LiveIdentity, citadel: str, node: str = "") -> None:
    """Renew at half-life and when another root signs, and follow the trust bundle, for ever; `citadel` is `host:port`.

    `node` tells replicas of a service apart that share a host. While Citadel is away the present pair stays in use.
    """
    keeper = _Keeper(identity, citadel, node or socket.gethostname())
    async with asyncio.TaskGroup() as group:
        group.create_task(keeper.renew_in_time(), name="renewal")
        group.create_task(keeper.follower.run(), name="trust")


class _Keeper:
    def __init__(self, identity: LiveIdentity, citadel: str, node: str) -> None:
        self._identity = identity
        self._citadel = citadel
        self._bundle: Bundle | None = None
        self._another_signs = asyncio.Event()
        self.follower = TrustFollower(citadel, node, lambda: identity.current, self._take)

    async def renew_in_time(self) -> None:
        retry, rested = FIRST_RETRY, 0.0
        jitter = random.uniform(-GRACE_JITTER, GRACE_JITTER)  # noqa: S311 - spreads renewals, not a secret
        while True:
            current = self._identity.current
            wait = time_to_rotation(datetime.now(UTC), current.not_before, current.not_after, jitter=jitter)
            seconds = max(wait.total_seconds(), rested - time.monotonic())
            if seconds > 0 and not self._another_signs.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(seconds, LONGEST_SLEEP)):
                        await self._another_signs.wait()
                continue
            try:
                renewed = await renew(current, self._citadel)
            except MeshError as error:
                _log.warning(
                    "certificate not renewed", reason=error.detail, retry=retry, until=current.not_after.isoformat()
                )
                await asyncio.sleep(retry)
                retry = min(retry * 2, LAST_RETRY)
                continue
            retry, rested = FIRST_RETRY, time.monotonic() + LEAST_BETWEEN
            self._another_signs.clear()
            # What the stream said last is newer than what another replica of Citadel may have answered with.
            bundle = self._bundle or Bundle(renewed.root, self._identity.current.revoked)
            self._identity.replace(ServiceIdentity(renewed.key, renewed.chain, bundle.roots, bundle.revoked))
            self.follower.renewed()
            _log.info("certificate renewed", not_after=renewed.not_after.isoformat())
            if self._bundle is not None and not leads_to_first(renewed.chain, self._bundle.roots):
                # Another replica of Citadel may not have seen yet that another root signs.
                await asyncio.sleep(LAGGING)
                self._another_signs.set()

    async def _take(self, bundle: Bundle) -> str:
        revocation_lists(bundle.revoked)  # ValueError: refused whole
        current, known = self._identity.current, self._bundle
        self._bundle = bundle
        if (bundle.roots, bundle.revoked) != (current.root, current.revoked):
            self._identity.replace(ServiceIdentity(current.key, current.chain, bundle.roots, bundle.revoked))
            _log.info("trust bundle replaced")
            await asyncio.sleep(SETTLE)
        if (known is None or known != bundle) and not leads_to_first(current.chain, bundle.roots):
            self._another_signs.set()
        return ""


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
