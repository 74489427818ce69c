"""Bundles of a plugged-in authority, good and broken in every way (the hierarchy is made in `meshcore.testing`)."""

from datetime import UTC, datetime, timedelta

import pytest
from citadel.core.authority import key_id_of
from citadel.core.caller import AuthenticatedCaller, Proof
from citadel.core.issuance import issue, prepare
from citadel.core.plugged_in import check_replacement, is_plugged_in, read_authority
from citadel.core.profile import workload_profile
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from meshcore.errors import MeshError
from meshcore.identity import SpiffeId
from meshcore.testing import openssl
from meshcore.testing.authorities import Authority, crl_pem, make_authority
from meshcore.tls.revocation import revokes

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
ROOT = make_authority("root")
UPPER = make_authority("upper", ROOT)
LOWER = make_authority("lower", UPPER)
STRANGER = make_authority("stranger")
KEY = ec.generate_private_key(ec.SECP256R1())


def files(signer: Authority = LOWER, *, root: Authority = ROOT, **changes: bytes | None) -> dict[str, bytes]:
    """Istio's files; `ca_key=...` stands for `ca-key.pem`, None takes a file away."""
    chain = [signer]
    while chain[-1].issuer is not None:
        chain.append(chain[-1].issuer)
    made = {
        "ca-cert.pem": signer.pem,
        "ca-key.pem": signer.key_pem,
        "root-cert.pem": root.pem,
        "cert-chain.pem": b"".join(one.pem for one in chain if one.issuer is not None) or signer.pem,
    }
    for name, content in changes.items():
        file = f"{name.replace('_', '-')}.pem"
        made.pop(file, None)
        if content is not None:
            made[file] = content
    return made


def refusal(given: dict[str, bytes]) -> str:
    with pytest.raises(MeshError) as refused:
        read_authority(given, NOW)
    assert "PRIVATE" not in refused.value.detail
    return refused.value.detail


def leaf_of(authority, key, serial=7):
    caller = AuthenticatedCaller(SpiffeId("cluster.local", "shop", "front"), Proof.TOKEN)
    profile = workload_profile(DAY, DAY)
    return issue(prepare(caller, key.public_key(), profile, DAY, NOW, serial=serial, authority=authority))


@pytest.mark.parametrize("signer", [LOWER, UPPER, ROOT], ids=lambda one: one.name)
def test_a_leaf_leads_to_the_root_through_what_comes_with_it(signer):
    authority = read_authority(files(signer), NOW)
    key = ec.generate_private_key(ec.SECP256R1())
    issued = leaf_of(authority, key)
    assert len(issued.chain) == {"lower": 3, "upper": 2, "root": 1}[signer.name]
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    openssl.accepts("".join(issued.chain), pem.decode(), issued.bundle)
    assert issued.signer == key_id_of(signer.certificate)


def test_an_rsa_authority_signs_too():
    signer = make_authority("rsa", ROOT, key=rsa.generate_private_key(65537, 2048))
    issued = leaf_of(read_authority(files(signer), NOW), ec.generate_private_key(ec.SECP256R1()))
    issued.certificate.verify_directly_issued_by(signer.certificate)


def test_the_secret_of_istios_own_root_is_a_bundle_of_which_the_certificate_is_current():
    """As `istio-ca-secret` is after a renewal: the chain is empty, and the root of before is still in its place."""
    renewed = make_authority("root", key=ROOT.key)
    authority = read_authority(files(renewed, cert_chain=b"", key=b"", root_cert=ROOT.pem), NOW)
    assert (authority.certificate, authority.intermediates) == (renewed.certificate, ())
    assert authority.roots == (renewed.certificate, ROOT.certificate)
    issued = leaf_of(authority, KEY)
    issued.certificate.verify_directly_issued_by(ROOT.certificate)
    assert "cert-chain.pem: missing or empty" in refusal(files(LOWER, cert_chain=b""))
    assert "cert-chain.pem: missing or empty" in refusal(files(ROOT, cert_chain=None))


def test_a_kubernetes_tls_secret_is_a_bundle_too():
    given = {"tls.crt": LOWER.pem + UPPER.pem, "tls.key": LOWER.key_pem, "ca.crt": ROOT.pem}
    authority = read_authority(given, NOW)
    assert [one.subject for one in authority.intermediates] == [LOWER.certificate.subject, UPPER.certificate.subject]
    assert is_plugged_in(given)
    assert not is_plugged_in({"ca-crl.pem": b""})


def test_the_root_in_the_chain_is_not_sent_as_an_intermediate():
    authority = read_authority(files(cert_chain=LOWER.pem + UPPER.pem + ROOT.pem), NOW)
    assert len(authority.intermediates) == 2


def test_the_root_that_the_signer_leads_to_comes_first():
    authority = read_authority(files(root_cert=STRANGER.pem + ROOT.pem), NOW)
    assert authority.roots == (ROOT.certificate, STRANGER.certificate)


@pytest.mark.parametrize("file", ["ca_cert", "ca_key", "root_cert", "cert_chain"])
@pytest.mark.parametrize("content", [None, b"", b" \n"], ids=["missing", "empty", "blank"])
def test_any_but_not_all_files_are_refused(file, content):
    assert f"{file.replace('_', '-')}.pem: missing or empty" in refusal(files(**{file: content}))


LEAF = make_authority("leaf", UPPER, ca=False)
EXPIRED = make_authority("expired", ROOT, not_before=NOW - 2 * DAY, ttl=DAY)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (files(ca_key=UPPER.key_pem), "ca-key.pem: is not the key of the certificate in ca-cert.pem"),
        (files(ca_key=b"rubbish"), "ca-key.pem: is no PEM private key"),
        (files(ca_key=LOWER.key_pem[:100]), "ca-key.pem: is no PEM private key"),
        (files(ca_cert=LOWER.pem[:300]), "ca-cert.pem: is not made of whole PEM"),
        (files(root_cert=ROOT.pem + ROOT.pem[:200]), "root-cert.pem"),
        (files(LEAF), "ca-cert.pem: a certificate may not sign others"),
        (files(cert_chain=LOWER.pem), "root-cert.pem: no root in it has signed"),
        (files(cert_chain=UPPER.pem + LOWER.pem), "cert-chain.pem: does not begin with"),
        (files(cert_chain=LOWER.pem + STRANGER.pem), "cert-chain.pem: certificate 2 did not sign certificate 1"),
        (files(make_authority("below", EXPIRED)), "cert-chain.pem: a certificate is not valid now"),
        (files(EXPIRED), "ca-cert.pem: a certificate is not valid now"),
        (files(root_cert=STRANGER.pem), "root-cert.pem: no root in it has signed"),
        (files(root_cert=UPPER.pem), "root-cert.pem: CN=upper is not self-signed"),
        (files(make_authority("weak", ROOT, key=rsa.generate_private_key(65537, 1024))), "ca-key.pem: an authority's"),
        (files(make_authority("p521", ROOT, key=ec.generate_private_key(ec.SECP521R1()))), "ca-key.pem: an authority"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_a_bundle_of_which_anything_does_not_fit_is_refused_with_the_reason(given, words):
    """Attack 14: key of another certificate, leaf in place of an authority, missing or swapped chain, expired, cut."""
    assert words in refusal(given)


def test_roots_come_and_go_but_are_not_exchanged():
    """Attack 15."""
    one, two = ROOT.certificate, STRANGER.certificate
    check_replacement([one], [one, two], True)
    check_replacement([one, two], [two], True)
    check_replacement([one], [one], False)
    with pytest.raises(MeshError, match="others than those in use"):
        check_replacement([one], [two], True)
    with pytest.raises(MeshError, match="ISTIO_MULTIROOT_MESH"):
        check_replacement([one], [one, two], False)


LISTS = {one.name: crl_pem(one, [77] if one is LOWER else []) for one in (ROOT, UPPER, LOWER)}


def test_revocation_lists_of_every_authority_are_taken():
    authority = read_authority(files(ca_crl=b"".join(LISTS.values())), NOW)
    assert authority.revoked_pem.count("BEGIN X509 CRL") == 3
    revoked, another, of_upper = (
        leaf_of(read_authority(files(signer), NOW), KEY, serial).certificate
        for signer, serial in ((LOWER, 77), (LOWER, 78), (UPPER, 77))
    )
    assert [revokes(authority.revoked, [leaf]) for leaf in (revoked, another, of_upper)] == [True, False, False]
    assert revokes(authority.revoked, [another, revoked])


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (LISTS["root"] + LISTS["upper"], "there is no list of CN=lower"),
        (b"".join(LISTS.values()) + crl_pem(STRANGER, []), "CN=stranger is not signed by an authority of the chain"),
        (crl_pem(LOWER, [], until=NOW - DAY) + LISTS["root"] + LISTS["upper"], "CN=lower is not in force"),
        (b"rubbish", "holds no PEM revocation list"),
        (LISTS["root"][:150], "is not made of whole PEM"),
        (crl_pem(LOWER, [], signed_by=STRANGER) + LISTS["root"] + LISTS["upper"], "CN=lower is not signed by"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_revocation_lists_are_taken_whole_or_not_at_all(lists, words):
    """Attack 17: one missing, a stranger's, expired, cut off."""
    told = refusal(files(ca_crl=lists))
    assert told.startswith("ca-crl.pem: ")
    assert words in told
