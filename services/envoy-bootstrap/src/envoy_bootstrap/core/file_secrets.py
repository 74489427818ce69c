"""Files that config names (`caCertificates`, `clientCertificate`, a Gateway's own) as the secrets that Envoy asks for.

What is half written or does not fit together is not served: Envoy keeps what it had, or waits. Pure: bytes come in.
"""

import hashlib
from collections.abc import Mapping, Sequence
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

_OF_NODE = ("TLS_CLIENT_", "TLS_SERVER_")
FOLDERS = ("/etc/certs", "/etc/istio", "/etc/ssl", "/etc/pki", "/var/run/secrets", "/run/secrets")
"""Where Istio's documents, Kubernetes and operating systems have certificates; others are the operator's to name."""


def outside(reference: FileReference, folders: Sequence[str]) -> str:
    """Why a file may not be read, with the field that names it; empty when all of them may.

    Config comes from whoever may write it in a namespace, the agent may run as anybody: so it reads below folders that
    its own environment names, and no name leads out of them. Links inside belong to whoever fills the folder.
    """
    named = {
        "serverCertificate or clientCertificate": reference.chain,
        "privateKey": reference.key,
        "caCertificates": reference.root,
        "caCrl": reference.revoked,
    }
    for field_name, path in named.items():
        if path and not _is_below(path, folders):
            return f"{field_name}: {path} is in no folder that the agent may read (MESHCORE_FILE_FOLDERS)"
    return ""


def folders_of_node(metadata: Mapping[str, object]) -> tuple[str, ...]:
    """Folders of the certificates that the agent's own environment names (`ISTIO_META_TLS_CLIENT_KEY`, ...)."""
    named = {str(value).rpartition("/")[0] for name, value in metadata.items() if name.startswith(_OF_NODE)}
    return tuple(sorted(folder for folder in named if folder.startswith("/")))


def _is_below(path: str, folders: Sequence[str]) -> bool:
    parts = path.split("/")
    if ".." in parts or not path.startswith("/"):
        return False
    plain = [part for part in parts if part not in ("", ".")]
    for folder in folders:
        above = [part for part in folder.split("/") if part not in ("", ".")]
        if len(plain) > len(above) and plain[: len(above)] == above:
            return True
    return False


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
