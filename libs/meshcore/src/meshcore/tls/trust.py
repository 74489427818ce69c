"""Following the trust bundle of the mesh: Citadel pushes it, whoever uses it says so, and that is the receipt.

A light delta stream of Citadel's secret service, authenticated by the certificate in force. What is received is
acknowledged after `take` has put it to use, so Citadel knows who believes which roots.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from meshcore.runtime import tasks
from meshcore.tls.grpc_credentials import grpc_channel_credentials
from meshcore.tls.identity import ServiceIdentity

METHOD = "/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets"
SECRET_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
ROOT_NAME = "ROOTCA"
OTHERS_NAME = "ROOTCA-OF-OTHERS"
FIRST_RETRY = 0.5
LAST_RETRY = 10.0
UNKNOWN_RETRY = 300.0
GOODBYE = 1.0
"""Seconds: first and longest pause after an end, pause when the authority has no such service, wait for a farewell."""
_OPTIONS = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Connections are not shared between channels: each one must present the certificate it was made with.
    ("grpc.use_local_subchannel_pool", 1),
)
_INVALID = 3
_log = structlog.get_logger("trust")


@dataclass(frozen=True, slots=True)
class Bundle:
    """PEM of the mesh's own roots, the one that signs now first, and of the revocation lists.

    `others` are roots of other authorities that a workload's peers may have; they prove nothing to the control plane,
    and it proves nothing with them.
    """

    roots: bytes
    revoked: bytes = b""
    others: bytes = b""


def leads_to_first(chain: bytes, roots: bytes) -> bool:
    """Whether a chain (PEM, leaf first, roots may follow) leads to the first root: if not, another one signs now."""
    return _leads_to(chain, x509.load_pem_x509_certificates(roots)[0])


def leads_to_any(chain: bytes, roots: bytes) -> bool:
    """Whether it leads to one of the roots."""
    return any(_leads_to(chain, root) for root in x509.load_pem_x509_certificates(roots))


def _leads_to(chain: bytes, root: x509.Certificate) -> bool:
    return any(_issued_by(one, root) for one in x509.load_pem_x509_certificates(chain) if one.subject != one.issuer)


def _issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


class TrustFollower:
    """One holder's stream, opened again whenever it ends.

    `identity` gives what to present; `take` puts a bundle to use and returns why it could not, "" when it has.
    Only for the peers of a workload are roots of `others` asked for.
    """

    def __init__(
        self,
        citadel: str,
        node: str,
        identity: Callable[[], ServiceIdentity],
        take: Callable[[Bundle], Awaitable[str]],
        *,
        others: bool = False,
    ) -> None:
        self._names = [ROOT_NAME, OTHERS_NAME] if others else [ROOT_NAME]
        self._bundle = Bundle(b"")
        self._citadel = citadel
        self._node = node
        self._identity = identity
        self._take = take
        self._renewed = asyncio.Event()
        self._presented = b""
        self._call: Any = None
        self._released = False

    def renewed(self) -> None:
        """If there is a new certificate, the stream is opened again with it, so that Citadel knows."""
        if self._identity().chain != self._presented:
            self._renewed.set()

    async def run(self) -> None:
        """Never returns, but after `release`."""
        import grpc

        retry = FIRST_RETRY
        while not self._released:
            answered, code = await self._once()
            if self._released:
                return
            if code is None:  # on purpose
                retry = FIRST_RETRY
                continue
            unknown = code is grpc.StatusCode.UNIMPLEMENTED
            pause = UNKNOWN_RETRY if unknown else FIRST_RETRY if answered else retry
            retry = FIRST_RETRY if answered else min(retry * 2, LAST_RETRY)
            _log.info("trust bundle is not followed", citadel=self._citadel, code=code.name, retry_in=pause)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads a fleet

    async def release(self) -> None:
        """Say that the certificate will not be presented again, and end the stream."""
        from envoy.service.discovery.v3 import discovery_pb2

        self._released = True
        call = self._call
        if call is None:
            return
        try:
            async with asyncio.timeout(GOODBYE):
                await call.write(
                    discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, resource_names_unsubscribe=[ROOT_NAME])
                )
                await call.done_writing()
                await call.code()
        except Exception as error:  # noqa: BLE001 - a farewell that is not heard delays a rotation, and no more
            _log.info("farewell not heard", error=type(error).__name__)

    async def _once(self) -> tuple[bool, Any]:
        """One stream: whether it was answered, and how it ended; None when it was ended for a new certificate."""
        import grpc.aio
        from envoy.service.discovery.v3 import discovery_pb2

        self._renewed.clear()
        identity = self._identity()
        self._presented = identity.chain
        credentials = grpc_channel_credentials(identity)
        answered = False
        async with grpc.aio.secure_channel(self._citadel, credentials, options=_OPTIONS) as channel:
            call = self._call = channel.stream_stream(
                METHOD,
                request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
                response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
            )()

            async def follow() -> None:
                nonlocal answered
                first = discovery_pb2.DeltaDiscoveryRequest(
                    type_url=SECRET_TYPE, resource_names_subscribe=self._names, node={"id": self._node}
                )
                # A call that is over fails reads and writes; how it ended is asked of it once, below.
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await call.write(first)
                    while (response := await call.read()) is not grpc.aio.EOF:
                        answered = True
                        await call.write(await self._answer(response))

            try:
                async with (
                    tasks.background(follow(), name="trust stream") as following,
                    tasks.background(self._renewed.wait(), name="trust renewal") as renewed,
                ):
                    await asyncio.wait({following, renewed}, return_when=asyncio.FIRST_COMPLETED)
                    if not following.done():
                        return answered, None
                    following.result()
                return answered, await call.code()
            finally:
                self._call = None
                call.cancel()

    async def _answer(self, response: Any) -> Any:
        from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
        from envoy.service.discovery.v3 import discovery_pb2

        reason, bundle = "", self._bundle
        for item in response.resources:
            context = secret_pb2.Secret.FromString(item.resource.value).validation_context
            trusted = context.trusted_ca.inline_bytes
            if item.name == ROOT_NAME:
                bundle = replace(bundle, roots=trusted, revoked=context.crl.inline_bytes)
            elif item.name == OTHERS_NAME:
                bundle = replace(bundle, others=trusted)
        if response.resources and bundle.roots:
            try:
                reason = await self._take(bundle)
            except ValueError:
                reason = "the bundle cannot be read"
        self._bundle = bundle
        answer = discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, response_nonce=response.nonce)
        if reason:
            answer.error_detail.code = _INVALID
            answer.error_detail.message = reason
            _log.error("trust bundle not taken", reason=reason)
        return answer
