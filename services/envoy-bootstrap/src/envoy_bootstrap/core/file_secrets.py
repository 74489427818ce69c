"""Files that config names (`caCertificates`, `clientCertificate`, a Gateway's own) as the secrets that Envoy asks for.

What is half written or does not fit together is not served: Envoy keeps what it had, or waits. Pure: bytes come in.
"""

import hashlib
from dataclasses import dataclass, field

from cryptography import x509
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from meshcore.key_pair import pair_fault
from meshcore.pem import count_certificates
from meshcore.xds.secret_names import FileReference

from envoy_bootstrap.core.discovery import Versioned

SYSTEM_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where the roots of the operating system are, by distribution; the first that is there counts."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What the files of a reference hold; None for a file that cannot be read, and for one that is not named."""

    chain: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    root: bytes | None = None
    revoked: bytes | None = None


def file_secret(name: str, reference: FileReference, contents: Contents) -> Versioned | str:
    """The secret, or why there is none, in words that quote no content."""
    secret = secret_pb2.Secret(name=name)
    if reference.chain:
        if contents.chain is None or contents.key is None:
            return "a file is missing or cannot be read"
        problem = pair_fault(contents.chain, contents.key)
        if problem:
            return problem
        secret.tls_certificate.certificate_chain.inline_bytes = contents.chain
        secret.tls_certificate.private_key.inline_bytes = contents.key
        return Versioned(_version(contents.chain), secret.SerializeToString(deterministic=True))
    if contents.root is None or (reference.revoked and contents.revoked is None):
        return "a file is missing or cannot be read"
    if not count_certificates(contents.root):
        return "the root is not PEM"
    if contents.revoked is not None and not _is_list(contents.revoked):
        return "the revocation list is not PEM"
    secret.validation_context.trusted_ca.inline_bytes = contents.root
    if contents.revoked is not None:
        secret.validation_context.crl.inline_bytes = contents.revoked
    return Versioned(_version(contents.root, contents.revoked or b""), secret.SerializeToString(deterministic=True))


def _is_list(pem: bytes) -> bool:
    try:
        x509.load_pem_x509_crl(pem)
    except ValueError:
        return False
    return True


def _version(*public: bytes) -> str:
    """From public bytes only: a version is logged and shown."""
    digest = hashlib.sha256()
    for part in public:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]
