"""Citadel as a registration authority: a signer of a Kubernetes API signs, over real HTTPS and with real keys."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import pytest
import yaml
from citadel.adapters import registration_authority
from citadel.adapters.signers import active_signers, note_signer
from citadel.core.mesh_settings import mesh_settings
from citadel.settings import CitadelSettings
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore import metrics
from meshcore.runtime import tasks
from meshcore.testing import openssl
from meshcore.testing.authorities import make_authority
from meshcore.testing.signing_api import decides, keeps_silent, signing_api, signs_with
from meshcore.tls import Bundle, PrivateKeyPem, ServiceIdentity, TrustFollower, leads_to_first, load_identity

KEY = ec.generate_private_key(ec.SECP256R1())
FRONT = "spiffe://cluster.local/ns/shop/sa/front"
OWN_NAME = x509.UniformResourceIdentifier(FRONT)
ROOT, OTHER, STRANGER = (make_authority(name) for name in ("signer's root", "other's root", "stranger"))
BELOW = make_authority("below", make_authority("between", ROOT))
DEFAULT, GOLD = "signers.example/mesh", "signers.example/gold"
HOUR = 3600


@pytest.fixture
def api():
    with signing_api({DEFAULT: signs_with(BELOW), GOLD: signs_with(OTHER)}) as api:
        yield api


@pytest.fixture
def settings(api, tmp_path):
    (tmp_path / "signer-root.pem").write_bytes(ROOT.pem)
    return {
        "external_ca": "ISTIOD_RA_KUBERNETES_API",
        "k8s_signer": DEFAULT,
        "cert_signer_domain": "signers.example",
        "external_ca_root": tmp_path / "signer-root.pem",
        "kubeconfig": api.write_kubeconfig(tmp_path / "kubeconfig"),
        "signer_timeout": timedelta(seconds=30),
    }


@pytest.fixture
async def citadel(identity_directory, issuer, start_citadel, settings):
    async with start_citadel(identity_directory, issuer, **settings) as citadel, asyncio.timeout(60):
        await citadel.runtime.readiness.wait()
        yield citadel


@pytest.fixture
def ask(citadel, sign):
    """A certificate for the workload `front`: the answer's elements."""

    async def ask(*names, signer="", ttl=HOUR, **how):
        csr = sign(KEY, *(names or (OWN_NAME,)))
        how = how or {"token": citadel.issuer.token()}
        return await citadel.create(csr, ttl=ttl, metadata={"CertSigner": signer}, **how)

    return ask


@pytest.fixture
def refusal(citadel, sign):
    async def refusal(*names, signer="", ttl=HOUR, csr=""):
        how = {"token": citadel.issuer.token(), "ttl": ttl, "metadata": {"CertSigner": signer}}
        return await citadel.refusal(csr or sign(KEY, *(names or (OWN_NAME,))), **how)

    return refusal


def pem_of(key):
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def held_by(chain):
    return ServiceIdentity(PrivateKeyPem(pem_of(KEY).encode()), "".join(chain[:-1]).encode(), chain[-1].encode())


def certificate(pem):
    return x509.load_pem_x509_certificate(pem.encode())


async def test_a_signer_signs_and_the_chain_is_checked_noted_and_handed_out(citadel, api, ask):
    chain = await ask()
    openssl.accepts("".join(chain[:-1]), pem_of(KEY), ROOT.pem.decode())
    leaf = certificate(chain[0])
    assert [certificate(one) for one in chain[1:-1]] == [BELOW.certificate, BELOW.issuer.certificate]
    own = x509.load_pem_x509_certificates((citadel.directory / "root-cert.pem").read_bytes())
    assert x509.load_pem_x509_certificates(chain[-1].encode()) == [ROOT.certificate, *own]
    [made] = api.created
    assert made["spec"]["signerName"] == DEFAULT
    assert made["spec"]["expirationSeconds"] == HOUR
    assert made["spec"]["usages"] == ["digital signature", "key encipherment", "server auth", "client auth"]
    [condition] = made["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Approved", "True")
    assert FRONT in condition["message"]
    assert api.objects == {}, "the object is deleted"
    row = (await citadel.get(f"/api/v1/certificates/{leaf.serial_number:x}")).json()
    assert (row["identity"], row["proof"], row["profile"]) == (FRONT, "token", "workload")


async def test_a_workload_renews_and_follows_the_roots_by_what_the_signer_gave_it(citadel, ask):
    chain = await ask()
    held = held_by(chain)
    again = await ask(identity=held)
    row = (await citadel.get(f"/api/v1/certificates/{certificate(again[0]).serial_number:x}")).json()
    assert row["proof"] == "certificate"
    assert (await bundle_of(citadel, held)).decode() == chain[-1], "its signer's root is first: it need not renew"


async def test_who_still_has_citadels_certificate_sees_that_the_signer_signs_now(citadel):
    now = datetime.now(UTC)
    former = await citadel.signed([FRONT], now - timedelta(hours=1), now + timedelta(hours=1))
    assert not leads_to_first(former.chain, await bundle_of(citadel, former))


async def bundle_of(citadel, held):
    """The roots that a holder is told."""
    seen: asyncio.Future[Bundle] = asyncio.get_running_loop().create_future()

    async def take(bundle):
        if not seen.done():
            seen.set_result(bundle)
        return ""

    follower = TrustFollower(f"127.0.0.1:{citadel.port}", "front-1", lambda: held, take, others=True)
    async with tasks.background(follower.run(), name="follower"):
        return (await seen).roots


async def test_the_services_keep_citadels_own_and_believe_the_signers_root_too(citadel, api, sign):
    pilot = load_identity(citadel.directory / "pilot")
    chain = await citadel.create(sign(KEY), identity=pilot)
    assert api.created == []
    own = x509.load_pem_x509_certificate((citadel.directory / "root-cert.pem").read_bytes())
    assert certificate(chain[0]).issuer == own.subject
    assert x509.load_pem_x509_certificates(chain[-1].encode()) == [own, ROOT.certificate]
    shown = (await citadel.get("/api/v1/ca")).json()
    assert [one["subject"] for one in shown["registered_roots"]] == [ROOT.certificate.subject.rfc4514_string()]
    assert len(shown["roots"]) == 1


async def test_a_caller_may_name_a_signer_whose_root_mesh_config_tells(registration, api, ask, refusal):
    code, words = await refusal(signer="gold")
    assert code == "INVALID_ARGUMENT"
    assert f"failed to find root cert for signer: {GOLD}" in words
    assert api.created == [], "nobody was asked"
    entry = {"pem": OTHER.pem.decode(), "certSigners": [GOLD]}
    registration().obey(mesh_settings({"data": {"mesh": yaml.safe_dump({"caCertificates": [entry]})}}))
    chain = await ask(signer="gold")
    assert certificate(chain[0]).issuer == OTHER.certificate.subject
    assert x509.load_pem_x509_certificates(chain[-1].encode())[0] == OTHER.certificate
    assert api.created[-1]["spec"]["signerName"] == GOLD
    assert certificate((await ask())[0]).issuer == BELOW.certificate.subject
    assert (await refusal(signer="../../pods"))[0] == "INVALID_ARGUMENT"


@pytest.fixture
def registration(monkeypatch):
    """The registration authority of the test's Citadel; ask for it before `citadel`."""
    made = []
    load = registration_authority.RegistrationAuthority.load

    def noted(self):
        made.append(self)
        load(self)

    monkeypatch.setattr(registration_authority.RegistrationAuthority, "load", noted)
    return lambda: made[-1]


async def test_what_a_signer_refuses_or_gets_wrong_never_leaves(api, refusal):
    for signer, words in (
        (decides("Denied", "Policy", "not on Sundays"), "was denied: Policy: not on Sundays"),
        (decides("Failed", "SignerValidationFailure", "usage"), "failed by its signer: SignerValidationFailure"),
        (signs_with(STRANGER), "does not lead to a root of this signer"),
        (signs_with(BELOW, shown=False), "does not lead to a root of this signer"),
        (signs_with(ROOT, life=timedelta(days=91)), "lives longer than the max allowed TTL"),
        (signs_with(ROOT, life=timedelta(seconds=1)), "is not valid now"),
        (lambda *_: {"certificate": "bm8gY2VydGlmaWNhdGU="}, "is not made of whole PEM certificates"),
        (lambda *_: {"certificate": "?"}, "is not base64"),
        (lambda *_: {"certificate": "QUFB" * 40_000}, "is too large"),
    ):
        api.signers[DEFAULT] = signer
        code, said = await refusal()
        assert (code, words in said) == ("INTERNAL", True), said
        assert api.objects == {}


async def test_a_signer_that_says_nothing_is_given_up_in_time(
    api, identity_directory, issuer, start_citadel, settings, sign
):
    api.signers[DEFAULT] = keeps_silent
    settings |= {"signer_timeout": timedelta(seconds=1)}
    async with start_citadel(identity_directory, issuer, **settings) as citadel, asyncio.timeout(60):
        code, said = await citadel.refusal(sign(KEY, OWN_NAME), token=issuer.token())
    assert (code, said) == (
        "INTERNAL",
        f"CSR signing error (the signer {DEFAULT} has issued nothing within 1 s)",
    )
    assert len(api.created) == 1
    assert api.objects == {}


@pytest.mark.parametrize("approved", [False, True], ids=["while it is created", "while the signer is waited for"])
async def test_who_hangs_up_leaves_nothing_at_the_api(api, citadel, sign, approved):
    api.signers[DEFAULT] = keeps_silent
    asking = asyncio.ensure_future(citadel.create(sign(KEY, OWN_NAME), token=citadel.issuer.token()))
    await asyncio.to_thread(api.wait_until, lambda: api.created and bool(api.created[0]["status"]) >= approved)
    asking.cancel()
    await asyncio.to_thread(api.wait_until, lambda: not api.objects)
    assert len(api.created) == 1


async def test_many_at_once_each_get_their_own(api, citadel, sign):
    keys = {f"front-{number}": ec.generate_private_key(ec.SECP256R1()) for number in range(40)}

    async def own(account):
        identity = f"spiffe://cluster.local/ns/shop/sa/{account}"
        csr = sign(keys[account], x509.UniformResourceIdentifier(identity))
        leaf = certificate((await citadel.create(csr, token=citadel.issuer.token("shop", account)))[0])
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.UniformResourceIdentifier) == [identity]
        assert leaf.public_key() == keys[account].public_key()

    await asyncio.gather(*map(own, keys))
    assert (len(api.created), api.objects) == (40, {})


async def test_an_api_that_refuses_is_told_without_its_words(api, refusal, ask):
    api.refuse = 403
    code, said = await refusal()
    assert (code, said) == (
        "INTERNAL",
        "CSR signing error (the Kubernetes API refuses the signing request (403 Forbidden))",
    )
    api.refuse = 0
    assert len(await ask()) == 4


async def test_an_approval_that_comes_too_late_and_watches_that_end_are_tried_again(api, ask):
    api.meddling, api.short_watches = [{}, {}], True
    assert certificate((await ask())[0]).issuer == BELOW.certificate.subject
    assert api.objects == {}


async def test_what_somebody_denies_first_is_not_approved(api, refusal):
    api.meddling = [dict(decides("Denied", "Review", "by hand")(None, {}))]
    assert "was denied: Review: by hand" in (await refusal())[1]
    assert [one["type"] for one in api.created[0]["status"]["conditions"]] == ["Denied"]


async def test_a_request_with_names_of_others_reaches_no_signer(api, refusal):
    """Attack 1: here the names of a request would be signed."""
    other = x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/other")
    for names in ([other], [OWN_NAME, other], [OWN_NAME, x509.DNSName("istiod.istio-system.svc")]):
        code, said = await refusal(*names)
        assert code == "INVALID_ARGUMENT"
        assert said.startswith("CSR signing error (unable to validate SAN Identities in CSR")
    assert api.created == []


async def test_lives_that_are_too_long_or_shorter_than_signers_give_are_refused(api, refusal):
    for ttl in (91 * 24 * HOUR, 60):
        code, said = await refusal(ttl=ttl)
        assert code == "INVALID_ARGUMENT"
        assert f"requested TTL {ttl}s" in said
    assert api.created == []


def refused_for_not_being_ready():
    counted = metrics.REGISTRY.get_sample_value("citadel_server_csr_sign_err_count", {"error": "CA_NOT_READY"})
    return counted or 0.0


async def test_before_roots_are_told_the_authority_is_not_ready_which_agents_try_again(
    api, identity_directory, issuer, start_citadel, settings, sign, tmp_path
):
    settings |= {"external_ca_root": tmp_path / "none.pem", "nats_url": "nats://127.0.0.1:1"}
    async with start_citadel(identity_directory, issuer, **settings) as citadel, asyncio.timeout(60):
        before = refused_for_not_being_ready()
        code, said = await citadel.refusal(sign(KEY, OWN_NAME), token=issuer.token())
        counted = (await citadel.get("/metrics")).text
    assert (code, "Istio CA is not ready" in said) == ("INTERNAL", True)
    assert f'citadel_server_csr_sign_err_count{{error="CA_NOT_READY"}} {before + 1}' in counted
    assert api.created == []


async def test_another_replica_and_a_restart_know_who_signed(
    api, identity_directory, issuer, start_citadel, settings, sign, monkeypatch
):
    monkeypatch.setattr(registration_authority, "LOOK_EVERY", 0.05)
    start = (identity_directory, issuer)
    async with (
        start_citadel(*start, **settings) as first,
        start_citadel(*start, **settings) as second,
        asyncio.timeout(60),
    ):
        held = held_by(await first.create(sign(KEY, OWN_NAME), token=issuer.token()))
        while True:
            try:
                await second.create(sign(KEY, OWN_NAME), identity=held)
                break
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                    raise
            await asyncio.sleep(0.05)
    async with start_citadel(*start, **settings) as third, asyncio.timeout(60):
        assert await third.create(sign(KEY, OWN_NAME), identity=held)


async def test_signers_are_forgotten_when_they_expire(engines):
    old = make_authority("old", not_before=datetime.now(UTC) - timedelta(days=2), ttl=timedelta(days=1))
    async with engines[0].begin() as connection:
        for one in (old, OTHER):
            await note_signer(connection, one.certificate)
    assert list((await active_signers(engines[1])).values()) == [OTHER.certificate]


async def test_a_number_that_is_taken_is_refused(api, ask, refusal):
    api.signers[DEFAULT] = signs_with(BELOW, serial=7)
    assert certificate((await ask())[0]).serial_number == 7
    code, said = await refusal()
    assert (code, "a serial number twice" in said) == ("INTERNAL", True)


def test_settings_that_cannot_work_are_refused(settings):
    for missing, word in (
        (("kubeconfig",), "CITADEL_KUBECONFIG"),
        (("k8s_signer", "cert_signer_domain"), "K8S_SIGNER"),
    ):
        less = {name: value for name, value in settings.items() if name not in missing}
        with pytest.raises(ValueError, match=word):
            CitadelSettings(**less)
    with pytest.raises(ValueError, match="external_ca"):
        CitadelSettings(external_ca="VAULT")
