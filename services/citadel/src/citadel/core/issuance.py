"""Issuance is template, sign, check the result. Pure: time and serial numbers come in as arguments.

    prepare()  the only maker of a PreparedSvid: all that the certificate will say, from the authenticated caller
    issue()    takes nothing but a PreparedSvid, once, signs it, and checks the signed certificate against it

Invariants (tests/core/test_issuance.py):
1. the names of a certificate are the caller's; nothing of the request but its public key gets in;
2. nothing is signed that `prepare` has not made, and nothing is signed twice;
3. what leaves `issue` has been parsed back from its bytes and agrees with the template field by field.
"""

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from citadel.core.authority import Authority, SigningKey, ecdsa_with, hash_for, to_pem
from citadel.core.caller import AuthenticatedCaller
from citadel.core.leaf_form import LeafForm
from citadel.core.profile import BACKDATE, Profile
from citadel.core.refusal import Reason, SigningRefused
from citadel.core.signing_request import PublicKey, strong_key

_PERMISSION: Final = object()
_Extensions: TypeAlias = dict[type[x509.ExtensionType], tuple[bool, x509.ExtensionType]]
"""By kind: whether it is critical, and its value."""


@dataclass(frozen=True)
class Template:
    """What a leaf will say; exactly this is found in it afterwards."""

    caller: AuthenticatedCaller
    names: tuple[x509.GeneralName, ...]
    public_key: PublicKey
    serial: int
    not_before: datetime
    not_after: datetime
    profile: Profile


class PreparedSvid:
    """A checked template, tied to one authority and redeemed at most once; only `prepare` makes one."""

    def __init__(self, permission: object, template: Template, authority: Authority) -> None:
        if permission is not _PERMISSION:
            raise TypeError("a PreparedSvid is made by prepare() only")
        self.template = template
        self._authority: Authority | None = authority

    def _redeem(self) -> Authority:
        authority, self._authority = self._authority, None
        if authority is None:
            raise SigningRefused(Reason.CERT_GEN_ERROR, "this certificate was already issued")
        return authority


@dataclass(frozen=True)
class IssuedSvid:
    """A signed and checked leaf with all that its holder needs."""

    certificate: x509.Certificate
    der: bytes = field(repr=False)
    template: Template
    chain: tuple[str, ...]
    """PEM: the leaf, each intermediate."""
    bundle: str
    """PEM: every root."""
    signer: str
    """Key of the signer (`Authority.key_id`)."""
    bundle_digest: str


def prepare(
    caller: AuthenticatedCaller,
    public_key: object,
    profile: Profile,
    ttl: timedelta,
    now: datetime,
    *,
    serial: int,
    authority: Authority,
) -> PreparedSvid:
    """Decide everything that a leaf for `caller` will say.

    `ttl` counts from `now`; the end is cut to the signer's own. A weak key is CSR_ERROR, an expired signer or a serial
    that is not 1 to 128 bits is CERT_GEN_ERROR.
    """
    signer = authority.certificate
    if not signer.not_valid_before_utc <= now < signer.not_valid_after_utc:
        raise SigningRefused(Reason.CERT_GEN_ERROR, "the signing certificate is not valid now")
    if not 0 < serial < 1 << 128:
        raise SigningRefused(Reason.CERT_GEN_ERROR, "the serial number is out of range")
    begin = now.replace(microsecond=0)
    template = Template(
        caller=caller,
        names=_names_of(caller),
        public_key=strong_key(public_key),
        serial=serial,
        not_before=begin - BACKDATE,
        not_after=min(begin + min(ttl, profile.max_ttl), signer.not_valid_after_utc),
        profile=profile,
    )
    return PreparedSvid(_PERMISSION, template, authority)


def issue(prepared: PreparedSvid) -> IssuedSvid:
    """Sign what was prepared, read the result back and compare; CERT_GEN_ERROR when it is not the template."""
    authority = prepared._redeem()
    template = prepared.template
    common = _common_of(authority)
    form = common.form
    der = form.signed(
        form.to_be_signed(
            template.serial, template.not_before, template.not_after, template.public_key, template.names
        ),
        authority.key,
    )
    certificate = x509.load_der_x509_certificate(der)
    wrong = _differences(certificate, template, authority, common)
    if wrong:
        raise SigningRefused(Reason.CERT_GEN_ERROR, f"the signed certificate differs in {', '.join(wrong)}")
    chain = (to_pem(certificate), *authority.intermediates_pem)
    return IssuedSvid(
        certificate, der, template, chain, authority.bundle_pem, authority.key_id, authority.bundle_digest
    )


def differences(certificate: x509.Certificate, template: Template, authority: Authority) -> tuple[str, ...]:
    """Names of the fields in which a certificate is not what the template says; empty when it is."""
    return _differences(certificate, template, authority, _common_of(authority))


def _differences(
    certificate: x509.Certificate, template: Template, authority: Authority, common: "_Common"
) -> tuple[str, ...]:
    expected: _Extensions = {
        **common.extensions,
        x509.SubjectAlternativeName: (True, x509.SubjectAlternativeName(template.names)),
    }
    found = {type(one.value): (one.critical, one.value) for one in certificate.extensions}
    wrong = []
    if certificate.subject != NO_NAME:
        wrong.append("subject")
    if certificate.public_key() != template.public_key:
        wrong.append("public key")
    if certificate.serial_number != template.serial:
        wrong.append("serial number")
    if (certificate.not_valid_before_utc, certificate.not_valid_after_utc) != (template.not_before, template.not_after):
        wrong.append("validity")
    if found != expected:
        kinds = expected.keys() | found.keys()
        wrong += sorted(kind.__name__ for kind in kinds if expected.get(kind) != found.get(kind))
    if certificate.issuer != authority.certificate.subject:
        wrong.append("issuer")
    if not _is_signed(certificate, authority, common.public_key):
        wrong.append("signature")
    return tuple(wrong)


def _is_signed(certificate: x509.Certificate, authority: Authority, key: object) -> bool:
    """Whether the signature is by the key of the signer's certificate, in the way that fits it."""
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    digest = hash_for(authority.key)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, signed, ecdsa_with(digest))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), digest)
        else:
            return False
    except InvalidSignature:
        return False
    return certificate.signature_hash_algorithm == digest


def _names_of(caller: AuthenticatedCaller) -> tuple[x509.GeneralName, ...]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(caller.identity))]
    for name in dict.fromkeys(caller.names):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            names.append(x509.DNSName(name))
    return tuple(names)


def _authority_key_identifier(signer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        known = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known)


@dataclass(frozen=True)
class _Common:
    """What every leaf of a signer has: made once."""

    form: LeafForm
    extensions: _Extensions
    public_key: object


def _common_of(authority: Authority) -> _Common:
    return _common(authority.certificate, authority.key)


@lru_cache(maxsize=8)
def _common(signer: x509.Certificate, key: SigningKey) -> _Common:
    extensions: _Extensions = {
        x509.KeyUsage: (True, LEAF_KEY_USAGE),
        x509.ExtendedKeyUsage: (False, LEAF_EXTENDED_KEY_USAGE),
        x509.BasicConstraints: (True, x509.BasicConstraints(ca=False, path_length=None)),
        x509.AuthorityKeyIdentifier: (False, _authority_key_identifier(signer)),
    }
    sample = leaf_builder(signer, extensions)
    # Of the sample nothing is used but what all leaves share; it is nobody's, was valid for no time and goes nowhere.
    sample = sample.public_key(key.public_key()).serial_number(1)
    sample = sample.not_valid_before(signer.not_valid_before_utc).not_valid_after(signer.not_valid_before_utc)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("sample:")])
    form = LeafForm.of(sample.add_extension(names, critical=True).sign(key, hash_for(key)))
    return _Common(form, extensions, signer.public_key())


def leaf_builder(signer: x509.Certificate, extensions: _Extensions) -> x509.CertificateBuilder:
    """A builder with all that leaves of a signer share."""
    builder = x509.CertificateBuilder().subject_name(NO_NAME).issuer_name(signer.subject)
    for critical, extension in extensions.values():
        builder = builder.add_extension(extension, critical=critical)
    return builder


NO_NAME: Final = x509.Name([])
LEAF_KEY_USAGE: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=True,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
LEAF_EXTENDED_KEY_USAGE: Final = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)
