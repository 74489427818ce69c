"""What may go to a signer, and what of its answer may leave."""

from datetime import UTC, datetime, timedelta

import pytest
from citadel.core.authority import make_root
from citadel.core.caller import AuthenticatedCaller, Proof
from citadel.core.kubernetes_signer import approved, issued_pem, read_object, signer_name, signing_object
from citadel.core.profile import workload_profile
from citadel.core.refusal import Reason, SigningRefused
from citadel.core.registration import check_answer, check_request, root_above
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID
from meshcore.identity import SpiffeId
from meshcore.testing.authorities import make_authority

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
ME = SpiffeId("cluster.local", "shop", "front")
CALLER = AuthenticatedCaller(ME, Proof.TOKEN)
MINE = x509.UniformResourceIdentifier(str(ME))
PROFILE = workload_profile(24 * HOUR, 48 * HOUR)
ROOT, SECOND_ROOT = make_authority("root"), make_authority("second root")
BETWEEN = make_authority("between", ROOT)
LEAF_ONLY = make_authority("no authority", ROOT, ca=False)
STALE = make_authority("stale", ROOT, not_before=NOW - 3 * HOUR, ttl=HOUR)
OWN = make_root(ec.generate_private_key(ec.SECP256R1()), "cluster.local", 100 * HOUR, NOW, 1)
BOTH = (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)


def request(*names, subject=(), extensions=(), attribute=None):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    if attribute is not None:
        builder = builder.add_attribute(attribute, b"x")
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def leaf(
    signer=ROOT,
    *,
    names=(MINE,),
    key=KEY,
    begin=NOW,
    life=HOUR,
    extensions=(BOTH,),
    digest=hashes.SHA256,
    serial=77,
):
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begin)
        .not_valid_after(begin + life)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer.key, digest())


def pem_of(*chain):
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain)


def answer(*chain, roots=(ROOT.certificate,)):
    return check_answer(pem_of(*chain), CALLER, KEY.public_key(), PROFILE, NOW, roots, OWN)


def usage(**said):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    names += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**(dict.fromkeys(names, False) | said))


def test_a_request_of_istios_agents_may_go():
    empty = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "", _validate=False)
    for csr in (request(MINE), request(MINE, subject=[empty])):
        assert check_request(csr, CALLER) == KEY.public_key()
    hosts = AuthenticatedCaller(ME, Proof.CERTIFICATE, ("front.shop.svc", "10.0.0.7"))
    assert check_request(request(MINE, x509.DNSName("front.shop.svc")), hosts)


@pytest.mark.parametrize(
    ("csr", "why"),
    [
        (request(), "0 URIs"),
        (request(x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/b")), "is not the caller's"),
        (request(MINE, MINE), "2 URIs"),
        (request(MINE, x509.DNSName("istiod")), "not the caller's"),
        (request(MINE, x509.OtherName(NameOID.COMMON_NAME, b"\x05\x00")), "not the caller's"),
        (request(MINE, subject=[x509.NameAttribute(NameOID.COMMON_NAME, "front")]), "subject"),
        (request(MINE, extensions=[x509.BasicConstraints(ca=True, path_length=None)]), "extension 2.5.29.19"),
        (request(MINE, extensions=[BOTH[0]]), "extension 2.5.29.37"),
        (request(MINE, attribute=AttributeOID.CHALLENGE_PASSWORD), "attributes"),
    ],
)
def test_a_request_that_says_more_or_less_is_refused(csr, why):
    """Attacks 1 and 2: names and rights that are not the caller's."""
    with pytest.raises(SigningRefused, match=why) as refused:
        check_request(csr, CALLER)
    assert refused.value.reason is Reason.CSR_ERROR
    assert "unable to validate SAN Identities in CSR" in refused.value.detail


def test_a_good_answer_is_taken_with_and_without_its_root():
    first = leaf(BETWEEN)
    for chain in ((first, BETWEEN.certificate), (first, BETWEEN.certificate, ROOT.certificate)):
        found = answer(*chain, roots=(SECOND_ROOT.certificate, ROOT.certificate))
        assert found.issuers == (BETWEEN.certificate,)
        assert found.issued.chain == tuple(pem_of(one).decode() for one in (first, BETWEEN.certificate))
        assert found.issued.bundle == (pem_of(ROOT.certificate) + OWN.bundle_pem.encode()).decode()
        assert found.issued.template.serial == 77
    direct = answer(leaf(ROOT))
    assert direct.issuers == (ROOT.certificate,)


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        ((leaf(key=OTHER_KEY),), "another key"),
        ((leaf(names=()),), "no names"),
        ((leaf(names=(x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/b"),)),), "is not for spiffe"),
        ((leaf(names=(MINE, x509.DNSName("istiod"))),), "is not for spiffe"),
        ((leaf(extensions=[BOTH, (x509.BasicConstraints(ca=True, path_length=None), True)]),), "may sign others"),
        ((leaf(extensions=[BOTH, (usage(key_cert_sign=True), True)]),), "may sign others"),
        ((leaf(extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)]),), "both"),
        ((leaf(begin=NOW - 2 * HOUR),), "not valid now"),
        ((leaf(begin=NOW + HOUR),), "not valid now"),
        ((leaf(life=49 * HOUR),), "lives longer"),
        ((leaf(SECOND_ROOT),), "root of this signer"),
        ((leaf(BETWEEN),), "root of this signer"),
        ((leaf(BETWEEN), SECOND_ROOT.certificate), "did not sign"),
        ((leaf(LEAF_ONLY), LEAF_ONLY.certificate), "may not sign others"),
        ((leaf(STALE), STALE.certificate), "of its chain is not valid"),
        ((leaf(), *[BETWEEN.certificate] * 9), "too long"),
    ],
)
def test_a_wrong_answer_is_refused(chain, why):
    with pytest.raises(SigningRefused, match=why) as refused:
        answer(*chain)
    assert refused.value.reason is Reason.CERT_GEN_ERROR


def test_a_weak_signature_is_refused():
    authority = make_authority("rsa", key=rsa.generate_private_key(65537, 2048))
    good, sha1 = (leaf(authority, digest=digest) for digest in (hashes.SHA256, hashes.SHA224))
    assert answer(good, roots=(authority.certificate,))
    with pytest.raises(SigningRefused, match="weak hash"):
        answer(sha1, roots=(authority.certificate,))


@pytest.mark.parametrize(
    "pem", [b"", b"x", pem_of(ROOT.certificate)[:90], b"A" * 70_000], ids=["nothing", "no PEM", "cut off", "too large"]
)
def test_an_answer_that_is_none_is_refused(pem):
    with pytest.raises(SigningRefused) as refused:
        check_answer(pem, CALLER, KEY.public_key(), PROFILE, NOW, (ROOT.certificate,), OWN)
    assert refused.value.reason is Reason.CERT_GEN_ERROR


def test_without_a_root_nothing_is_believed():
    with pytest.raises(SigningRefused, match="failed to find root cert") as refused:
        answer(leaf(), roots=())
    assert refused.value.reason is Reason.CSR_ERROR


def test_whose_root_it_is_is_found_through_others_that_signed():
    lower = make_authority("lower", BETWEEN)
    signers = {"a": lower.certificate, "b": BETWEEN.certificate, "c": SECOND_ROOT.certificate}
    roots = (SECOND_ROOT.certificate, ROOT.certificate)
    assert [root_above(key, signers, roots) for key in "abcd"] == [
        ROOT.certificate,
        ROOT.certificate,
        SECOND_ROOT.certificate,
        None,
    ]
    assert root_above("a", signers, (SECOND_ROOT.certificate,)) is None


def test_which_signer_a_caller_gets():
    assert signer_name("", "signers.example", "a.example/b") == "a.example/b"
    assert signer_name("gold", "signers.example", "a.example/b") == "signers.example/gold"
    for asked, domain, default, reason in (
        ("", "signers.example", "", Reason.CERT_GEN_ERROR),
        ("gold", "", "a.example/b", Reason.CERT_GEN_ERROR),
        ("Gold one", "signers.example", "", Reason.CSR_ERROR),
        ("g" * 600, "signers.example", "", Reason.CSR_ERROR),
    ):
        with pytest.raises(SigningRefused) as refused:
            signer_name(asked, domain, default)
        assert refused.value.reason is reason


def test_what_becomes_of_an_object():
    made = signing_object(request(MINE), "a.example/b", HOUR)
    assert made["spec"]["expirationSeconds"] == 3600
    with pytest.raises(SigningRefused, match="requested TTL 599s") as refused:
        signing_object(request(MINE), "a.example/b", timedelta(seconds=599))
    assert refused.value.reason is Reason.TTL_ERROR
    allowed = approved(made, str(ME))
    assert [one["type"] for one in allowed["status"]["conditions"]] == ["Approved"]
    assert "status" not in made
    assert issued_pem(allowed) is None
    assert issued_pem(allowed | {"status": {"certificate": "QUJD"}}) == b"ABC"
    for kind, words in (("Denied", "was denied"), ("Failed", "failed by its signer")):
        said = {"status": {"conditions": [{"type": kind, "status": "True"}], "certificate": "QUJD"}}
        with pytest.raises(SigningRefused, match=f"{words}: no reason"):
            issued_pem(said)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"metadata": {"name": "a"}},
        {"metadata": {"name": "a", "resourceVersion": 7}},
        {"metadata": {"name": "a", "resourceVersion": "7"}, "status": ["x"]},
        {"metadata": {"name": "a", "resourceVersion": "7"}, "status": {"conditions": {"a": 1}}},
        {"metadata": {"name": "a", "resourceVersion": "7"}, "status": {"conditions": ["Approved"]}},
    ],
)
def test_what_is_no_signing_request_is_refused(document):
    with pytest.raises(SigningRefused, match="something else than a signing request"):
        read_object(document)


def test_a_certificate_that_is_no_text_is_refused():
    with pytest.raises(SigningRefused, match="too large"):
        issued_pem({"status": {"certificate": {"a": 1}}})
