"""Why a certificate is refused, in the words and codes that agents of Istio know. Pure."""

from enum import StrEnum

from meshcore.errors import ErrorCode, MeshError


class Reason(StrEnum):
    """Label of the failure metrics, as Istio's authority counts them."""

    CSR_ERROR = "CSR_ERROR"
    TTL_ERROR = "TTL_ERROR"
    CERT_GEN_ERROR = "CERT_GEN_ERROR"
    CA_NOT_READY = "CA_NOT_READY"


_CODES = {
    Reason.CSR_ERROR: ErrorCode.INVALID,
    Reason.TTL_ERROR: ErrorCode.INVALID,
    Reason.CERT_GEN_ERROR: ErrorCode.INTERNAL,
    Reason.CA_NOT_READY: ErrorCode.INTERNAL,
}


class SigningRefused(MeshError):
    """A request that is not signed; `reason` is its metric label."""

    def __init__(self, reason: Reason, cause: str) -> None:
        super().__init__(_CODES[reason], f"CSR signing error ({cause})")
        self.reason = reason


def authentication_refused() -> MeshError:
    """The one answer to a caller that proves nothing: which proof failed, and why, is for the log only."""
    return MeshError(ErrorCode.UNAUTHENTICATED, "request authenticate failure")


def impersonation_refused() -> MeshError:
    """Nobody may ask for a certificate of another."""
    return MeshError(ErrorCode.UNAUTHENTICATED, "request impersonation authentication failure")
