import ipaddress
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from citadel.core import issuance
from citadel.core.authority import make_root, to_pem
from citadel.core.caller import AuthenticatedCaller, Proof, caller_of_certificate
from citadel.core.issuance import PreparedSvid, issue, prepare
from citadel.core.profile import SERVICE, granted_ttl, workload_profile
from citadel.core.refusal import Reason, SigningRefused
from citadel.core.root_renewal import renewal_due
from citadel.core.signing_request import parse_signing_request
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from meshcore.identity import SpiffeId
from meshcore.rotation import should_rotate
from meshcore.testing import openssl

NOW = datetime(2030, 1, 1, 12, 30, 15, 250, tzinfo=UTC)
DAY = timedelta(days=1)
WORKLOAD = workload_profile(DAY, 90 * DAY)
FRONT = AuthenticatedCaller(SpiffeId("cluster.local", "shop", "front"), Proof.TOKEN)
ROOT_KEY = ec.generate_private_key(ec.SECP256R1())
ROOT = make_root(ROOT_KEY, "cluster.local", 3650 * DAY, NOW - DAY, serial=7)
LEAF_KEY = ec.generate_private_key(ec.SECP256R1())


def leaf(caller=FRONT, ttl=DAY, now=NOW, key=LEAF_KEY, root=ROOT, profile=WORKLOAD, serial=99):
    return issue(prepare(caller, key.public_key(), profile, ttl, now, serial=serial, authority=root))


def request_pem(key, *names: x509.GeneralName, subject: str = "") -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM).decode()


def test_the_leaf_profile_field_by_field():
    issued = leaf()
    certificate = issued.certificate
    extensions = {type(one.value): one for one in certificate.extensions}
    san = extensions.pop(x509.SubjectAlternativeName)
    assert san.critical
    assert list(san.value) == [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/front")]
    assert certificate.subject.rdns == []
    assert certificate.issuer.rfc4514_string() == "O=cluster.local"
    usage = extensions.pop(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_encipherment) == (True, True)
    assert not any(
        (
            usage.value.content_commitment,
            usage.value.data_encipherment,
            usage.value.key_agreement,
            usage.value.key_cert_sign,
            usage.value.crl_sign,
        )
    )
    extended = extensions.pop(x509.ExtendedKeyUsage)
    assert list(extended.value) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    constraints = extensions.pop(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    assert set(extensions) == {x509.AuthorityKeyIdentifier}
    assert certificate.serial_number == 99
    assert certificate.not_valid_before_utc == NOW.replace(microsecond=0) - timedelta(minutes=2)
    assert certificate.not_valid_after_utc == NOW.replace(microsecond=0) + DAY
    assert certificate.public_key() == LEAF_KEY.public_key()
    assert certificate.version is x509.Version.v3
    assert issued.chain == (to_pem(certificate),)
    assert issued.bundle == to_pem(ROOT.certificate)


def test_the_root_profile_field_by_field():
    root = ROOT.certificate
    extensions = {type(one.value): one for one in root.extensions}
    assert root.subject == root.issuer
    assert root.subject.rfc4514_string() == "O=cluster.local"
    assert x509.SubjectAlternativeName not in extensions
    assert x509.ExtendedKeyUsage not in extensions
    usage = extensions[x509.KeyUsage].value
    assert usage.key_cert_sign
    assert not usage.crl_sign
    assert not usage.digital_signature
    assert extensions[x509.BasicConstraints].value == x509.BasicConstraints(ca=True, path_length=None)
    assert root.not_valid_before_utc == (NOW - DAY).replace(microsecond=0)
    assert root.not_valid_after_utc - root.not_valid_before_utc == 3650 * DAY
    assert "PrivateKey" not in repr(ROOT)


def test_life_is_cut_to_the_signer_and_to_the_profile():
    """Attack 5."""
    short = make_root(ROOT_KEY, "cluster.local", timedelta(hours=1), NOW, serial=8)
    assert leaf(root=short).certificate.not_valid_after_utc == short.certificate.not_valid_after_utc
    assert leaf(ttl=1000 * DAY).certificate.not_valid_after_utc == NOW.replace(microsecond=0) + 90 * DAY


@pytest.mark.parametrize("moment", [NOW - 2 * DAY, NOW + 4000 * DAY])
def test_a_signer_that_is_not_valid_signs_nothing(moment):
    with pytest.raises(SigningRefused) as refused:
        leaf(now=moment)
    assert refused.value.reason is Reason.CERT_GEN_ERROR


def test_attack_16_a_clock_that_jumps_back_ten_minutes_signs_within_the_root_and_renews_nothing():
    before, after = leaf(), leaf(now=NOW - timedelta(minutes=10))
    lives = [one.certificate.not_valid_after_utc - one.certificate.not_valid_before_utc for one in (before, after)]
    assert lives[0] == lives[1] == DAY + timedelta(minutes=2)
    begin, end = before.certificate.not_valid_before_utc, before.certificate.not_valid_after_utc
    assert not should_rotate(NOW - timedelta(minutes=10), begin, end)
    young = make_root(ROOT_KEY, "cluster.local", DAY, NOW, serial=8)
    assert not renewal_due(young.certificate, NOW - timedelta(minutes=10))
    with pytest.raises(SigningRefused, match="not valid now"):
        leaf(now=young.certificate.not_valid_before_utc - timedelta(seconds=1), root=young)


def test_a_service_keeps_its_host_names_when_it_renews_and_a_workload_has_none():
    pilot = AuthenticatedCaller(
        SpiffeId("cluster.local", "istio-system", "pilot"), Proof.BOOTSTRAP, ("pilot.istio-system.svc", "127.1.255.2")
    )
    first = leaf(pilot, profile=SERVICE).certificate
    renewing = caller_of_certificate(first, "cluster.local", "istio-system")
    assert renewing == AuthenticatedCaller(pilot.identity, Proof.CERTIFICATE, pilot.names)
    again = leaf(renewing, profile=SERVICE).certificate
    assert list(again.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == [
        x509.UniformResourceIdentifier(str(pilot.identity)),
        x509.DNSName("pilot.istio-system.svc"),
        x509.IPAddress(ipaddress.ip_address("127.1.255.2")),
    ]
    with_names = leaf(AuthenticatedCaller(FRONT.identity, Proof.BOOTSTRAP, ("bank.example",))).certificate
    assert caller_of_certificate(with_names, "cluster.local", "istio-system").names == ()
    assert caller_of_certificate(with_names, "other.domain", "istio-system") is None
    assert caller_of_certificate(ROOT.certificate, "cluster.local", "istio-system") is None


NAMES = st.lists(
    st.one_of(
        st.builds(
            lambda ns, sa: x509.UniformResourceIdentifier(f"spiffe://cluster.local/ns/{ns}/sa/{sa}"),
            st.sampled_from(["istio-system", "bank", "kube-system"]),
            st.sampled_from(["pilot", "citadel", "teller", "default"]),
        ),
        st.builds(x509.DNSName, st.sampled_from(["bank.example", "*.example", "pilot.istio-system.svc"])),
        st.builds(lambda n: x509.IPAddress(ipaddress.ip_address(n)), st.integers(0, 2**32 - 1)),
        st.builds(x509.RFC822Name, st.sampled_from(["root@example.com"])),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(names=NAMES, subject=st.sampled_from(["", "pilot", "bank.example"]))
def test_a_request_for_somebody_elses_names_gets_the_callers_only(names, subject):
    key = parse_signing_request(request_pem(LEAF_KEY, *names, subject=subject))
    certificate = issue(prepare(FRONT, key, WORKLOAD, DAY, NOW, serial=5, authority=ROOT)).certificate
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(san) == [x509.UniformResourceIdentifier(str(FRONT.identity))]
    assert certificate.subject == x509.Name([])


SEGMENT = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(namespace=SEGMENT, account=SEGMENT, seconds=st.integers(1, 90 * 86400), serial=st.integers(1, 2**128 - 1))
def test_every_identity_comes_back_from_its_certificate(namespace, account, seconds, serial):
    caller = AuthenticatedCaller(SpiffeId("cluster.local", namespace, account), Proof.TOKEN)
    issued = leaf(caller, granted_ttl(WORKLOAD, seconds), serial=serial).certificate
    assert caller_of_certificate(issued, "cluster.local", "istio-system").identity == caller.identity
    assert issued.serial_number == serial
    assert issued.not_valid_after_utc - issued.not_valid_before_utc == timedelta(seconds=seconds, minutes=2)


def test_what_was_not_prepared_cannot_be_issued_and_nothing_is_issued_twice():
    prepared = prepare(FRONT, LEAF_KEY.public_key(), WORKLOAD, DAY, NOW, serial=1, authority=ROOT)
    with pytest.raises(TypeError):
        PreparedSvid(object(), prepared.template, ROOT)
    issue(prepared)
    with pytest.raises(SigningRefused):
        issue(prepared)


def test_a_signed_certificate_that_is_not_the_template_never_leaves(monkeypatch):
    prepared = prepare(FRONT, LEAF_KEY.public_key(), WORKLOAD, DAY, NOW, serial=1, authority=ROOT)
    other = leaf(AuthenticatedCaller(SpiffeId("cluster.local", "bank", "teller"), Proof.TOKEN), serial=2).certificate
    wrong = issuance.differences(other, prepared.template, ROOT)
    assert wrong == ("serial number", "SubjectAlternativeName")
    stranger = make_root(ec.generate_private_key(ec.SECP256R1()), "cluster.local", DAY, NOW, serial=3)
    assert "signature" in issuance.differences(leaf(serial=1).certificate, prepared.template, stranger)
    monkeypatch.setattr(issuance.x509, "load_der_x509_certificate", lambda _: other)
    with pytest.raises(SigningRefused, match="differs in serial number, SubjectAlternativeName"):
        issue(prepared)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["p256", "p384", "ed25519", "rsa2048"],
)
def test_strong_keys_of_every_kind_are_signed(key):
    assert parse_signing_request(request_pem(key)) == key.public_key()
    assert leaf(key=key).certificate.public_key() == key.public_key()


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256K1()),
        ec.generate_private_key(ec.SECP224R1()),
        rsa.generate_private_key(65537, 1024),
    ],
    ids=["k256", "p224", "rsa1024"],
)
def test_weak_keys_are_refused_twice(key):
    with pytest.raises(SigningRefused) as refused:
        parse_signing_request(request_pem(key))
    assert refused.value.reason is Reason.CSR_ERROR
    with pytest.raises(SigningRefused):
        leaf(key=key)


def test_unreadable_and_unproven_requests_are_refused():
    good = request_pem(LEAF_KEY)
    der = bytearray(x509.load_pem_x509_csr(good.encode()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    import base64

    forged = (
        "-----BEGIN CERTIFICATE REQUEST-----\n"
        + base64.encodebytes(bytes(der)).decode()
        + ("-----END CERTIFICATE REQUEST-----\n")
    )
    for bad in ("", "not a request", good[:100], forged, good + "x" * 70000, to_pem(ROOT.certificate)):
        with pytest.raises(SigningRefused, match=r"^CSR signing error \("):
            parse_signing_request(bad)


def test_ttl_rules():
    assert granted_ttl(WORKLOAD, 0) == granted_ttl(WORKLOAD, -5) == DAY
    assert granted_ttl(WORKLOAD, 3600) == timedelta(hours=1)
    assert granted_ttl(WORKLOAD, 90 * 86400) == 90 * DAY
    for seconds in (90 * 86400 + 1, 2**63 - 1):
        with pytest.raises(SigningRefused, match=r"^CSR signing error \(requested TTL ") as refused:
            granted_ttl(WORKLOAD, seconds)
        assert refused.value.reason is Reason.TTL_ERROR


@pytest.mark.parametrize("key", [ROOT_KEY, rsa.generate_private_key(65537, 2048)], ids=["ecdsa", "rsa"])
def test_openssl_verifies_a_leaf_against_the_bundle(key):
    now = datetime.now(UTC)
    root = make_root(key, "cluster.local", 3650 * DAY, now, serial=11)
    issued = leaf(now=now, root=root)
    private = LEAF_KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    openssl.accepts(issued.chain[0], private.decode(), issued.bundle)
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        openssl.accepts(issued.chain[0], private.decode(), to_pem(ROOT.certificate))
