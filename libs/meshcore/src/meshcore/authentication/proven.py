"""What a proof other than a client certificate proves. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from meshcore.identity import SpiffeId


class Way(StrEnum):
    """How an identity was proven."""

    TOKEN = "token"
    REVIEW = "token-review"
    """A token that a Kubernetes API server has vouched for."""
    GATEWAY = "gateway"
    """A client certificate that a trusted gateway has verified and tells of."""


class TokenRefused(Exception):
    """Why a token proves nothing; for the log, never for the caller."""


@dataclass(frozen=True, slots=True)
class ProvenIdentity:
    """`ends` is when the proof is none any more, as far as it says so."""

    identity: SpiffeId
    way: Way
    ends: datetime | None = None
