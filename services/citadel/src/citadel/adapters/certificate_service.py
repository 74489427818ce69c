"""`istio.v1.auth.IstioCertificateService`: one unary call, in Istio's codes and messages."""

import time
from typing import Any

import structlog
from meshcore._generated.istio.v1.auth import ca_pb2
from meshcore.errors import MeshError
from meshcore.grpc_server import Call, Handler, Unary

from citadel.adapters import telemetry
from citadel.adapters.authentication import CallerAuthenticator
from citadel.adapters.caller_limits import CallerLimits
from citadel.adapters.issuer import Issuer
from citadel.adapters.registration_authority import RegistrationAuthority
from citadel.core.caller import AuthenticatedCaller, serial_text
from citadel.core.issuance import IssuedSvid
from citadel.core.members import is_of_control_plane
from citadel.core.profile import SERVICE, Profile, granted_ttl
from citadel.core.refusal import Reason, SigningRefused, impersonation_refused
from citadel.core.signing_request import parse_signing_request

METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
_IMPERSONATED = "ImpersonatedIdentity"
_SIGNER = "CertSigner"
_log = structlog.get_logger("certificates")


class CertificateService:
    """Authenticates, reads the request, has it signed, answers; decides nothing itself."""

    def __init__(
        self,
        authenticator: CallerAuthenticator,
        issuer: Issuer,
        workload: Profile,
        root_namespace: str,
        limits: CallerLimits,
        registration: RegistrationAuthority | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._issuer = issuer
        self._workload = workload
        self._root_namespace = root_namespace
        self._limits = limits
        self._registration = registration

    @property
    def handlers(self) -> dict[str, Handler]:
        """Its methods by their paths."""
        return {METHOD: Unary(ca_pb2.IstioCertificateRequest.FromString, self._create_certificate)}

    async def _create_certificate(self, request: Any, call: Call) -> Any:
        """Sign a certificate for the authenticated caller."""
        telemetry.REQUESTS.inc()
        begun = time.perf_counter()
        try:
            answer = await self._create(request, call)
        except MeshError as error:
            if isinstance(error, SigningRefused):
                if error.reason is Reason.CSR_ERROR:
                    telemetry.PARSING_ERRORS.inc()
                telemetry.SIGNING_ERRORS.labels(error=error.reason.value).inc()
                _log.info("certificate refused", reason=error.reason.value, detail=error.detail)
            raise
        telemetry.ISSUED.inc()
        telemetry.LATENCY.observe(time.perf_counter() - begun)
        return answer

    async def _create(self, request: Any, call: Call) -> Any:
        caller = await self._authenticator.authenticate(call)
        impersonated = request.metadata.fields.get(_IMPERSONATED)
        if impersonated is not None and impersonated.string_value:
            raise impersonation_refused()
        self._limits.take(str(caller.identity))
        issued = await self._issue(caller, request, call.peer.address)
        _log.info(
            "certificate issued",
            identity=str(caller.identity),
            proof=caller.proof.value,
            serial=serial_text(issued.template.serial),
            not_after=issued.template.not_after.isoformat(),
            peer=call.peer.address,
        )
        return ca_pb2.IstioCertificateResponse(cert_chain=[*issued.chain, issued.bundle])

    async def _issue(self, caller: AuthenticatedCaller, request: Any, peer: str) -> IssuedSvid:
        """By a signer outside where there is one, for workloads; else by this authority."""
        of_control_plane = is_of_control_plane(caller, self._root_namespace)
        profile = SERVICE if of_control_plane else self._workload
        ttl = granted_ttl(profile, request.validity_duration)
        if self._registration is None or of_control_plane:
            return await self._issuer.issue(caller, parse_signing_request(request.csr), profile, ttl, peer)
        signer = request.metadata.fields.get(_SIGNER)
        asked = "" if signer is None else str(signer.string_value)
        return await self._registration.issue(caller, request.csr, asked, profile, ttl, peer)
