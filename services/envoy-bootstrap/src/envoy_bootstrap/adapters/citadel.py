"""Asks Citadel for a certificate, in the words of Istio's certificate service.

The workload's token is presented only where there is no valid certificate yet; renewals are authenticated by the
certificate in force, so a token is used once and never kept.
"""

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import grpc
import grpc.aio
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google.protobuf import struct_pb2
from meshcore import metrics
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
from meshcore.errors import ErrorCode, MeshError
from meshcore.identity import SpiffeId
from meshcore.tls import ServiceIdentity, grpc_channel_credentials, grpc_root_credentials

from envoy_bootstrap.core.addresses import HostPort
from envoy_bootstrap.core.back_off import CA_BACK_OFF, CA_TRIES
from envoy_bootstrap.core.csr import WorkloadKey, build_csr, private_key_pem
from envoy_bootstrap.core.issued import read_issued

_log = structlog.get_logger("citadel")
_REQUESTS = metrics.counter("istio_agent_num_outgoing_requests", "Requests to the CA.", ["request_type"])
_FAILED = metrics.counter("istio_agent_num_failed_outgoing_requests", "Failed requests to the CA.", ["request_type"])
_LATENCY = metrics.histogram("istio_agent_outgoing_latency", "Milliseconds of a request to the CA.", ["request_type"])
_TOKEN_MAY_HELP = (ErrorCode.UNAUTHENTICATED, ErrorCode.UNAVAILABLE)
_RETRIED = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
    }
)
_CALL_TIMEOUT = 15.0
"""Seconds of a try: a signer outside may take some, and a try that is given up begins from the start there."""


class CitadelClient:
    """One workload's way to its certificates."""

    def __init__(
        self,
        address: HostPort,
        identity: SpiffeId,
        *,
        root_file: Path,
        token_file: Path,
        ttl: timedelta,
        rsa_key_size: int | None,
        cluster_id: str,
        signer: str = "",
    ) -> None:
        self._address = address
        self._identity = identity
        self._root_file = root_file
        self._token_file = token_file
        self._ttl = ttl
        self._rsa_key_size = rsa_key_size
        self._cluster_id = cluster_id
        self._signer = signer

    async def issue(self, current: ServiceIdentity | None) -> ServiceIdentity:
        """A new key with its certificate; UNAVAILABLE after five tries, UNAUTHENTICATED when refused.

        With a `current` pair that is still valid the request is authenticated by it. When the CA refuses that pair (its
        root was replaced, say), the token is tried, if there is one.
        """
        key = self._new_key()
        request = ca_pb2.IstioCertificateRequest(
            csr=build_csr(key, self._identity), validity_duration=int(self._ttl.total_seconds())
        )
        request.metadata.fields["CertSigner"].CopyFrom(struct_pb2.Value(string_value=self._signer))
        if current is not None and current.not_after > datetime.now(UTC):
            try:
                elements = await self._retried(request, current)
            except MeshError as error:
                # A certificate of a root that Citadel does not know ends the handshake: that looks as if it were away.
                if error.code not in _TOKEN_MAY_HELP or not self._token_file.exists():
                    raise
                _log.warning("certificate not accepted for its own renewal, the token is tried", reason=error.detail)
                elements = await self._retried(request, None)
        else:
            elements = await self._retried(request, None)
        return read_issued(elements, private_key_pem(key), self._identity, datetime.now(UTC))

    async def _retried(self, request: ca_pb2.IstioCertificateRequest, current: ServiceIdentity | None) -> Sequence[str]:
        for attempt in range(CA_TRIES):
            begun = monotonic()
            _REQUESTS.labels("csr").inc()
            try:
                return await self._ask(request, current)
            except grpc.aio.AioRpcError as error:
                _FAILED.labels("csr").inc()
                if error.code() not in _RETRIED or attempt == CA_TRIES - 1:
                    raise _refused(error) from error
            finally:
                _LATENCY.labels("csr").observe((monotonic() - begun) * 1000)
            await asyncio.sleep(CA_BACK_OFF.delay(attempt, random.random()))  # noqa: S311 - spreads tries, not a secret
        raise AssertionError("unreachable: the last try returns or raises")

    async def _ask(self, request: ca_pb2.IstioCertificateRequest, current: ServiceIdentity | None) -> Sequence[str]:
        # A connection per try: the roots are read again, since a refused handshake may mean that they were replaced.
        root = self._read(self._root_file, "CA_ROOT_CERT")
        headers = [("clusterid", self._cluster_id)] if self._cluster_id else []
        if current is None:
            credentials = grpc_root_credentials(root)
            token = self._read(self._token_file, "TOKEN_PATH").decode("ascii", "replace").strip()
            headers.append(("authorization", f"Bearer {token}"))
        else:
            both = ServiceIdentity(current.key, current.chain, root + b"\n" + current.root)
            credentials = grpc_channel_credentials(both)
        async with grpc.aio.secure_channel(str(self._address), credentials) as channel:
            stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)
            response = await stub.CreateCertificate(request, metadata=headers, timeout=_CALL_TIMEOUT)
        return tuple(response.cert_chain)

    def _new_key(self) -> WorkloadKey:
        if self._rsa_key_size is not None:
            return rsa.generate_private_key(public_exponent=65537, key_size=self._rsa_key_size)
        return ec.generate_private_key(ec.SECP256R1())

    def _read(self, path: Path, variable: str) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise MeshError(
                ErrorCode.FAILED_PRECONDITION, f"{variable}: {path} cannot be read: {error.strerror}"
            ) from None


def _refused(error: grpc.aio.AioRpcError) -> MeshError:
    codes = {
        grpc.StatusCode.UNAUTHENTICATED: ErrorCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED: ErrorCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT: ErrorCode.INVALID,
    }
    code = codes.get(error.code(), ErrorCode.UNAVAILABLE)
    return MeshError(code, f"Citadel: {error.code().name}: {(error.details() or '')[:500]}")
