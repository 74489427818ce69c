"""Who asks for a certificate, once that is proven. Pure.

Everything in a certificate about its holder comes from here, never from the signing request.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from meshcore.identity import SpiffeId
from meshcore.tls.peers import spiffe_of_certificate


class Proof(StrEnum):
    """How a caller proved who it is; also the label of the authentication metrics."""

    TOKEN = "token"
    CERTIFICATE = "certificate"
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


def caller_of_certificate(
    certificate: x509.Certificate | None, trust_domain: str, root_namespace: str
) -> AuthenticatedCaller | None:
    """The caller behind a verified client certificate; None unless it has exactly one identity, of this trust domain.

    Host names are carried over for identities of the root namespace only.
    """
    if certificate is None:
        return None
    identity = spiffe_of_certificate(certificate)
    if identity is None or identity.trust_domain != trust_domain:
        return None
    names = tuple(_host_names(certificate)) if identity.namespace == root_namespace else ()
    return AuthenticatedCaller(identity, Proof.CERTIFICATE, names)


def _host_names(certificate: x509.Certificate) -> Iterable[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    yield from names.get_values_for_type(x509.DNSName)
    yield from (str(address) for address in names.get_values_for_type(x509.IPAddress))
