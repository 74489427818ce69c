"""Registration: which requests may go to a signer outside, and what of its answer may leave. Pure.

A signer copies what a request says. So, unlike under Citadel's own authority, the request itself must say who the
caller is and nothing else (Istio's `ValidateCSR`), and what comes back is looked at as if anybody had sent it.
"""

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from meshcore.errors import MeshError

from citadel.core.authority import Authority, key_id_of, to_pem
from citadel.core.caller import AuthenticatedCaller
from citadel.core.chain import check_may_sign, check_order, is_issued_by, is_valid_at, read_certificates
from citadel.core.issuance import IssuedSvid, Template
from citadel.core.kubernetes_signer import LARGEST_CHAIN
from citadel.core.profile import BACKDATE, Profile
from citadel.core.refusal import Reason, SigningRefused
from citadel.core.signing_request import PublicKey, parse_signing_request

LONGEST_CHAIN = 8
LARGEST_SERIAL = 1 << 160
"""Certificates of an answer, and what a serial number is below (RFC 5280, 4.1.2.2)."""
_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")
"""The attribute of a request that holds its extensions (RFC 2985, 5.4.2)."""
_STRONG = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True)
class Registered:
    """A checked answer; `issuers` are the certificates that signed, the leaf's own first, without the root above."""

    issued: IssuedSvid
    issuers: tuple[x509.Certificate, ...]


def check_request(pem: str, caller: AuthenticatedCaller) -> PublicKey:
    """The key of a request that names the caller and nothing else; CSR_ERROR otherwise.

    That is: an empty subject, no extension but names, one URI, the caller's identity, and no host that is not its own.
    """
    key = parse_signing_request(pem)
    wrong = _fault(x509.load_pem_x509_csr(pem.encode()), caller)
    if wrong:
        raise SigningRefused(Reason.CSR_ERROR, f"unable to validate SAN Identities in CSR: {wrong}")
    return key


def _fault(request: x509.CertificateSigningRequest, caller: AuthenticatedCaller) -> str:
    if any(attribute.value for attribute in request.subject):
        return "its subject is not empty"
    try:
        attributes = [attribute.oid for attribute in request.attributes]
        extensions = list(request.extensions)
    except ValueError:
        return "its extensions cannot be read"
    # A second list of extensions could be the one that a signer reads.
    if attributes not in ([], [_EXTENSION_REQUEST]):
        return "it has more attributes than a list of extensions"
    names: list[x509.GeneralName] = []
    for extension in extensions:
        if not isinstance(extension.value, x509.SubjectAlternativeName):
            return f"it asks for the extension {extension.oid.dotted_string}"
        names += extension.value
    return _wrong_names(names, caller)


def _wrong_names(names: Collection[x509.GeneralName], caller: AuthenticatedCaller) -> str:
    """What of the names is not the caller's; empty when they are its identity, and of its hosts none or some."""
    uris = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    if uris != [str(caller.identity)]:
        return f"it has {len(uris)} URIs" if len(uris) != 1 else "its identity is not the caller's"
    for name in names:
        if isinstance(name, x509.UniformResourceIdentifier):
            continue
        if not isinstance(name, x509.DNSName | x509.IPAddress) or not _is_own(name, caller):
            return "it has names that are not the caller's"
    return ""


def _is_own(name: x509.DNSName | x509.IPAddress, caller: AuthenticatedCaller) -> bool:
    if isinstance(name, x509.DNSName):
        return name.value in caller.names
    own = set()
    for one in caller.names:
        try:
            own.add(ipaddress.ip_address(one))
        except ValueError:
            continue
    return name.value in own


def check_answer(
    pem: bytes,
    caller: AuthenticatedCaller,
    public_key: PublicKey,
    profile: Profile,
    now: datetime,
    roots: Sequence[x509.Certificate],
    authority: Authority,
) -> Registered:
    """The certificate in a signer's answer (leaf, then what is between it and one of the signer's `roots`).

    CERT_GEN_ERROR when it is not for this key and identity alone, valid now and no longer than the profile allows, or
    does not lead to a root of `roots`; CSR_ERROR when there is none.
    """
    if not roots:
        raise SigningRefused(Reason.CSR_ERROR, "failed to find root cert of the signer in mesh config")
    if len(pem) > LARGEST_CHAIN:
        raise _answer_refused("it is too large")
    try:
        leaf, *above = read_certificates("the signer's answer", pem)
        if len(above) > LONGEST_CHAIN:
            raise _answer_refused("its chain is too long")
        wrong = _wrong_leaf(leaf, caller, public_key, profile, now)
        if wrong:
            raise _answer_refused(wrong)
        between = [one for one in above if one not in roots]
        root = _root_of((leaf, *between), roots, now)
    except SigningRefused:
        raise
    except MeshError as error:
        raise SigningRefused(Reason.CERT_GEN_ERROR, error.detail) from None
    except ValueError:
        raise _answer_refused("it cannot be read") from None
    issuers = (*between, root)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    template = Template(caller, tuple(names), public_key, leaf.serial_number, begin, end, profile)
    issued = IssuedSvid(
        leaf,
        leaf.public_bytes(serialization.Encoding.DER),
        template,
        tuple(to_pem(one) for one in (leaf, *between)),
        authority.bundle_from(root),
        key_id_of(issuers[0]),
        authority.bundle_digest,
    )
    return Registered(issued, issuers[:-1] or issuers)


def _answer_refused(reason: str) -> SigningRefused:
    return SigningRefused(Reason.CERT_GEN_ERROR, f"the signer's answer is refused: {reason}")


def _wrong_leaf(
    leaf: x509.Certificate, caller: AuthenticatedCaller, public_key: PublicKey, profile: Profile, now: datetime
) -> str:
    """What is wrong with it; empty when nothing is. ValueError for extensions that cannot be read."""
    if leaf.public_key() != public_key:
        return "the certificate is for another key"
    if not 0 < leaf.serial_number < LARGEST_SERIAL:
        return "the serial number is out of range"
    if not leaf.not_valid_before_utc - BACKDATE <= now < leaf.not_valid_after_utc:
        return "the certificate is not valid now"
    if leaf.not_valid_after_utc > now + profile.max_ttl + BACKDATE:
        return f"the certificate lives longer than the max allowed TTL {profile.max_ttl.total_seconds():.0f}s"
    if not isinstance(leaf.signature_hash_algorithm, _STRONG) and leaf.signature_hash_algorithm is not None:
        return "the certificate is signed with a weak hash"
    found = {type(one.value): one.value for one in leaf.extensions}
    names = found.get(x509.SubjectAlternativeName)
    if not isinstance(names, x509.SubjectAlternativeName):
        return "the certificate has no names"
    if wrong := _wrong_names(list(names), caller):
        return f"the certificate is not for {caller.identity}: {wrong}"
    constraints, usage = found.get(x509.BasicConstraints), found.get(x509.KeyUsage)
    if (isinstance(constraints, x509.BasicConstraints) and constraints.ca) or (
        isinstance(usage, x509.KeyUsage) and usage.key_cert_sign
    ):
        return "the certificate may sign others"
    purposes = found.get(x509.ExtendedKeyUsage)
    needed = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    if isinstance(purposes, x509.ExtendedKeyUsage) and not needed <= set(purposes):
        return "the certificate is not for servers and clients both"
    return ""


def _root_of(path: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], now: datetime) -> x509.Certificate:
    """The root that a path from the leaf on leads to, every link of it valid."""
    source = "the signer's answer"
    check_order(source, path)
    root = next((one for one in roots if is_issued_by(path[-1], one)), None)
    if root is None:
        raise _answer_refused("its chain does not lead to a root of this signer")
    for one in (*path[1:], root):
        if not is_valid_at(one, now):
            raise _answer_refused("a certificate of its chain is not valid now")
        check_may_sign(source, one)
    return root


def root_above(
    key_id: str, signers: Mapping[str, x509.Certificate], roots: Sequence[x509.Certificate]
) -> x509.Certificate | None:
    """Which of `roots` the signer of that key leads to, through others of `signers`; None for none."""
    certificate = signers.get(key_id)
    for _ in range(LONGEST_CHAIN):
        if certificate is None:
            return None
        for root in roots:
            if root == certificate or is_issued_by(certificate, root):
                return root
        below = certificate
        certificate = next((one for one in signers.values() if one != below and is_issued_by(below, one)), None)
    return None
