"""`istio.v1.auth.IstioCertificateService`: one unary call, in Istio's codes and messages."""

import time
from typing import Any

import grpc
import structlog
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
from meshcore.errors import GRPC_STATUS, MeshError
from meshcore.tls.front import Peers

from citadel.adapters import telemetry
from citadel.adapters.authentication import CallerAuthenticator
from citadel.adapters.caller_limits import CallerLimits
from citadel.adapters.issuer import Issuer
from citadel.core.members import is_of_control_plane
from citadel.core.profile import SERVICE, Profile, granted_ttl
from citadel.core.refusal import Reason, SigningRefused, impersonation_refused
from citadel.core.signing_request import parse_signing_request

_IMPERSONATED = "ImpersonatedIdentity"
_STATUS = {status.value[0]: status for status in grpc.StatusCode}
_log = structlog.get_logger("certificates")


class CertificateService(ca_pb2_grpc.IstioCertificateServiceServicer):  # type: ignore[misc]
    """Authenticates, reads the public key, issues, answers; decides nothing itself."""

    def __init__(
        self,
        authenticator: CallerAuthenticator,
        issuer: Issuer,
        workload: Profile,
        root_namespace: str,
        peers: Peers,
        limits: CallerLimits,
    ) -> None:
        self._authenticator = authenticator
        self._issuer = issuer
        self._workload = workload
        self._root_namespace = root_namespace
        self._peers = peers
        self._limits = limits

    async def CreateCertificate(self, request: Any, context: Any) -> Any:
        """Sign a certificate for the authenticated caller."""
        telemetry.REQUESTS.inc()
        begun = time.perf_counter()
        try:
            answer = await self._create(request, context)
        except MeshError as error:
            if isinstance(error, SigningRefused):
                if error.reason is Reason.CSR_ERROR:
                    telemetry.PARSING_ERRORS.inc()
                telemetry.SIGNING_ERRORS.labels(error=error.reason.value).inc()
                _log.info("certificate refused", reason=error.reason.value, detail=error.detail)
            await context.abort(_STATUS[GRPC_STATUS[error.code]], error.detail)
        telemetry.ISSUED.inc()
        telemetry.LATENCY.observe(time.perf_counter() - begun)
        return answer

    async def _create(self, request: Any, context: Any) -> Any:
        caller = await self._authenticator.authenticate(context)
        impersonated = request.metadata.fields.get(_IMPERSONATED)
        if impersonated is not None and impersonated.string_value:
            raise impersonation_refused()
        self._limits.take(str(caller.identity))
        public_key = parse_signing_request(request.csr)
        profile = SERVICE if is_of_control_plane(caller, self._root_namespace) else self._workload
        ttl = granted_ttl(profile, request.validity_duration)
        peer = self._peers.address(context.peer())
        issued = await self._issuer.issue(caller, public_key, profile, ttl, peer)
        _log.info(
            "certificate issued",
            identity=str(caller.identity),
            proof=caller.proof.value,
            serial=f"{issued.template.serial:032x}",
            not_after=issued.template.not_after.isoformat(),
            peer=peer,
        )
        return ca_pb2.IstioCertificateResponse(cert_chain=[*issued.chain, issued.bundle])
