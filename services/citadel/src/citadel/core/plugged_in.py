"""An authority that an operator plugs in, in Istio's files or in a Kubernetes TLS Secret's. Pure: bytes come in.

    ca-cert.pem ca-key.pem root-cert.pem cert-chain.pem [ca-crl.pem]     or     tls.crt tls.key ca.crt

A bundle that is incomplete, or of which anything does not fit, is refused whole, with the file and the reason; no byte
of a key is ever quoted. Whoever uses one keeps the last good one then, and never makes a root of its own instead.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from citadel.core.authority import Authority, SigningKey
from citadel.core.chain import (
    check_may_sign,
    check_order,
    check_root,
    is_issued_by,
    is_valid_at,
    read_certificates,
    refused,
)
from citadel.core.revocation import read_lists
from citadel.core.signing_request import LARGEST_RSA, SMALLEST_RSA


@dataclass(frozen=True, slots=True)
class FileNames:
    """Which file holds what; without `chain` the rest of `certificate` is the chain."""

    certificate: str
    key: str
    root: str
    chain: str = ""

    @property
    def needed(self) -> tuple[str, ...]:
        """All of these or none."""
        return tuple(filter(None, (self.certificate, self.key, self.root, self.chain)))


ISTIO_FILES = FileNames("ca-cert.pem", "ca-key.pem", "root-cert.pem", "cert-chain.pem")
TLS_FILES = FileNames("tls.crt", "tls.key", "ca.crt")
CRL_FILE = "ca-crl.pem"
EVERY_FILE = (*ISTIO_FILES.needed, *TLS_FILES.needed, CRL_FILE)


def is_plugged_in(files: Mapping[str, bytes]) -> bool:
    """Whether there is anything that means to be an authority."""
    return any(name in files for name in (*ISTIO_FILES.needed, *TLS_FILES.needed))


def read_authority(files: Mapping[str, bytes], now: datetime) -> Authority:
    """The authority of a folder's files; FAILED_PRECONDITION names the file and says what is wrong with it."""
    names = ISTIO_FILES if any(name in files for name in ISTIO_FILES.needed) else TLS_FILES
    files = _with_chain_of_a_root(files)
    missing = [name for name in names.needed if not files.get(name, b"").strip()]
    if missing:
        raise refused(", ".join(missing), "missing or empty: a plugged-in authority needs " + ", ".join(names.needed))
    signers = read_certificates(names.certificate, files[names.certificate])
    signer = signers[0]
    chain = read_certificates(names.chain, files[names.chain]) if names.chain else signers
    roots = tuple(dict.fromkeys(read_certificates(names.root, files[names.root])))
    key = _key(names.key, files[names.key])
    _check_signer(names, signer, key)
    for root in roots:
        check_root(names.root, root)
    path = _path(names, signer, chain, roots)
    for file, certificate in ((names.certificate, signer), *((names.chain or names.certificate, c) for c in path[1:])):
        if not is_valid_at(certificate, now):
            raise refused(file, f"a certificate is not valid now (until {certificate.not_valid_after_utc:%Y-%m-%d})")
    own = next(root for root in roots if is_issued_by(path[-1], root))
    if not is_valid_at(own, now):
        raise refused(names.root, "the root that the chain leads to is not valid now")
    intermediates = tuple(certificate for certificate in path if certificate not in roots)
    lists = (
        read_lists(CRL_FILE, files[CRL_FILE], (*intermediates, own), now) if files.get(CRL_FILE, b"").strip() else ()
    )
    return Authority(signer, key, intermediates, (own, *(root for root in roots if root != own)), revoked=lists)


def _with_chain_of_a_root(files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """As Istio keeps its own root (`istio-ca-secret`): the chain is there and empty, as nothing is between the root and
    its leaves, and only `ca-cert.pem` is current after a renewal."""
    names = ISTIO_FILES
    certificate = files.get(names.certificate, b"")
    if files.get(names.chain, b"-").strip() or not files.get(names.root, b"").strip() or not certificate.strip():
        return files
    signer = read_certificates(names.certificate, files[names.certificate])[0]
    if not is_issued_by(signer, signer):
        return files
    root = certificate + b"\n" + files[names.root]
    return {**files, names.chain: certificate, names.root: root}


def check_replacement(former: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], allowed: bool) -> None:
    """Roots may come or go at a reload, not be exchanged: peers with the former bundle must still believe the leaves.

    FAILED_PRECONDITION unless one bundle holds the other; with `allowed` False unless they are the same.
    """
    old, new = frozenset(former), frozenset(roots)
    if old == new:
        return
    if not allowed:
        raise refused(ISTIO_FILES.root, "the roots differ, which ISTIO_MULTIROOT_MESH=false forbids without a restart")
    if not (old <= new or new <= old):
        raise refused(
            ISTIO_FILES.root,
            "these roots are others than those in use: put the new root beside the old one first, "
            "and take the old one away when all have the new one",
        )


def _key(file: str, pem: bytes) -> SigningKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise refused(file, "is no PEM private key without a password") from None
    if isinstance(key, rsa.RSAPrivateKey) and SMALLEST_RSA <= key.key_size <= LARGEST_RSA:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    raise refused(file, f"an authority's key is RSA of {SMALLEST_RSA} to {LARGEST_RSA} bits, P-256 or P-384")


def _check_signer(names: FileNames, signer: x509.Certificate, key: SigningKey) -> None:
    if signer.public_key() != key.public_key():
        raise refused(names.key, f"is not the key of the certificate in {names.certificate}")
    check_may_sign(names.certificate, signer)


def _path(
    names: FileNames, signer: x509.Certificate, chain: Sequence[x509.Certificate], roots: Collection[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """From the signer to the last one before the root; the root itself only when it is the signer."""
    file = names.chain or names.certificate
    path = [certificate for certificate in chain if certificate not in roots or certificate == signer]
    if not path or path[0] != signer:
        if signer not in roots:
            raise refused(file, f"does not begin with the certificate of {names.certificate}")
        path = [signer]
    check_order(file, path)
    if not any(is_issued_by(path[-1], root) for root in roots):
        raise refused(names.root, f"no root in it has signed the last certificate of {file}")
    return tuple(path)
