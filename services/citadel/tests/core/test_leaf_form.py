"""The two ways to a leaf, byte by byte: `cryptography`'s builder, and the form with what differs put in."""

from datetime import UTC, datetime, timedelta

import pytest
from citadel.core import issuance
from citadel.core.authority import Authority, hash_for, make_root
from citadel.core.caller import AuthenticatedCaller, Proof
from citadel.core.issuance import issue, leaf_builder, prepare
from citadel.core.leaf_form import element, elements, inside
from citadel.core.profile import workload_profile
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.identity import SpiffeId

NOW = datetime(2030, 1, 1, tzinfo=UTC)
YEARS = timedelta(days=3650)


def intermediate() -> Authority:
    """A P-384 signer below a root, of a long name in which no letter is ASCII, without a key identifier of its own."""
    root = make_root(ec.generate_private_key(ec.SECP256R1()), "cluster.local", 9 * YEARS, NOW - YEARS, 7)
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "ü" * 60)] * 3)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(9)
        .not_valid_before(NOW - YEARS)
        .not_valid_after(NOW + 8 * YEARS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(root.key, hashes.SHA256())
    )
    return Authority(certificate, key, (certificate,), (root.certificate,))


AUTHORITIES = {
    "P-256": make_root(ec.generate_private_key(ec.SECP256R1()), "cluster.local", 8 * YEARS, NOW - YEARS, 7),
    "RSA": make_root(rsa.generate_private_key(65537, 2048), "cluster.local", 8 * YEARS, NOW - YEARS, 7),
    "P-384": intermediate(),
}
KEYS = {
    "P-256": ec.generate_private_key(ec.SECP256R1()).public_key(),
    "P-384": ec.generate_private_key(ec.SECP384R1()).public_key(),
    "RSA": rsa.generate_private_key(65537, 2048).public_key(),
    "Ed25519": ed25519.Ed25519PrivateKey.generate().public_key(),
}
NAMES = (
    (),
    ("pilot.istio-system.svc", "127.1.255.2", "fd00::1", "*.example.com"),
    tuple(f"n{i}.example" for i in range(200)),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    signer=st.sampled_from(list(AUTHORITIES)),
    key=st.sampled_from(list(KEYS)),
    names=st.sampled_from(NAMES),
    serial=st.one_of(st.integers(1, 300), st.integers(1, 2**128 - 1)),
    moment=st.datetimes(datetime(2029, 1, 1), datetime(2080, 1, 1)),  # noqa: DTZ001 - the zone comes below
    account=st.sampled_from(["front", "a" * 200]),
)
def test_a_leaf_is_to_the_byte_what_the_builder_makes_of_the_same(signer, key, names, serial, moment, account):
    authority = AUTHORITIES[signer]
    now = moment.replace(tzinfo=UTC)
    caller = AuthenticatedCaller(SpiffeId("cluster.local", "shop", account), Proof.BOOTSTRAP, names)
    life = workload_profile(YEARS, YEARS)
    issued = issue(prepare(caller, KEYS[key], life, YEARS, now, serial=serial, authority=authority))
    template = issued.template
    built = (
        leaf_builder(authority.certificate, issuance._common_of(authority).extensions)
        .public_key(template.public_key)
        .serial_number(template.serial)
        .not_valid_before(template.not_before)
        .not_valid_after(template.not_after)
        .add_extension(x509.SubjectAlternativeName(template.names), critical=True)
        .sign(authority.key, hash_for(authority.key))
    )
    assert issued.certificate.tbs_certificate_bytes == built.tbs_certificate_bytes
    assert issued.certificate.signature_algorithm_oid == built.signature_algorithm_oid
    assert issued.certificate.signature_algorithm_parameters is not None or signer != "RSA"
    if signer == "RSA":
        assert issued.certificate == built, "RSA signs the same twice"
    assert issuance.differences(built, template, authority) == ()
    issued.certificate.verify_directly_issued_by(authority.certificate)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65535])
def test_elements_of_every_length(size):
    one = element(0x04, bytes(size))
    assert inside(one) == bytes(size)
    assert elements(one + one) == [one, one]
    with pytest.raises(ValueError, match="cut off"):
        elements(one + one + b"\x04\x05")
