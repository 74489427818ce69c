"""Who asks for a certificate, once that is proven. Pure.

Everything in a certificate about its holder comes from here, never from the signing request.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from meshcore.identity import SpiffeId
from meshcore.tls.peers import spiffe_of_certificate


class Proof(StrEnum):
    """How a caller proved who it is; also the label of the authentication metrics."""

    TOKEN = "token"
    REVIEW = "token-review"
    """A token that a Kubernetes API server has vouched for."""
    GATEWAY = "gateway"
    """A client certificate that a trusted gateway has verified and tells of."""
    CERTIFICATE = "certificate"
    ACCOUNT = "service-account"
    """A service account that the API server lists: its key pair is kept in a Secret beside it."""
    BOOTSTRAP = "bootstrap"
    """`citadel init` itself, before anything else exists that could prove anything."""


@dataclass(frozen=True, slots=True)
class AuthenticatedCaller:
    """A proven identity.

    `names` are host names and addresses that this authority has already vouched for: only services of the control
    plane have any, from `init`, and keep them when they renew by certificate.
    """

    identity: SpiffeId
    proof: Proof
    names: tuple[str, ...] = ()
    proof_serial: str = field(default="", compare=False)
    """Of the client certificate, hex; what it is followed by ends its part in a rotation of the root."""
    proof_ends: datetime | None = field(default=None, compare=False)
    proof_signer: str = field(default="", compare=False)
    """Key of the signer of the client certificate."""


def serial_text(serial: int) -> str:
    """A serial number as the ledger has it."""
    return f"{serial:032x}"


def caller_of_certificate(
    certificate: x509.Certificate | None, trust_domain: str, root_namespace: str, aliases: Collection[str] = ()
) -> AuthenticatedCaller | None:
    """The caller behind a verified client certificate; None unless it has exactly one identity, of this trust domain.

    An alias is a name that the trust domain had before: its identities are kept as they are, and carry no host names.
    Host names are carried over for identities of the root namespace only.
    """
    if certificate is None:
        return None
    identity = spiffe_of_certificate(certificate)
    if identity is None or (identity.trust_domain != trust_domain and identity.trust_domain not in aliases):
        return None
    own = identity.trust_domain == trust_domain and identity.namespace == root_namespace
    return AuthenticatedCaller(
        identity,
        Proof.CERTIFICATE,
        tuple(_host_names(certificate)) if own else (),
        serial_text(certificate.serial_number),
        certificate.not_valid_after_utc,
    )


def issuer_among(certificate: x509.Certificate, signers: Iterable[x509.Certificate]) -> x509.Certificate | None:
    """Which of this authority's own signers has signed it; None for none: roots of others are trusted by peers only."""
    for signer in signers:
        try:
            certificate.verify_directly_issued_by(signer)
        except (InvalidSignature, ValueError, TypeError):
            continue
        return signer
    return None


def _host_names(certificate: x509.Certificate) -> Iterable[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    yield from names.get_values_for_type(x509.DNSName)
    yield from (str(address) for address in names.get_values_for_type(x509.IPAddress))
