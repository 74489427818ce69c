import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import grpc
import pytest
from citadel.adapters import ledger as ledger_module
from citadel.adapters.first_start import InitOptions, initialise
from citadel.core.members import Installation
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from meshcore import metrics
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
from meshcore.rotation import LEAST_BETWEEN
from meshcore.runtime import tasks
from meshcore.testing import openssl
from meshcore.testing.identity import make_ca
from meshcore.tls import LiveIdentity, load_identity, renewal, spiffe_of_certificate
from sqlalchemy.exc import OperationalError

KEY = ec.generate_private_key(ec.SECP256R1())
FRONT = "spiffe://cluster.local/ns/shop/sa/front"


def pem_of(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def leaf_of(chain: list[str]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(chain[0].encode())


def names_of(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


async def test_a_token_gets_the_certificate_of_its_service_account(citadel, sign):
    chain = await citadel.create(sign(KEY), token=citadel.issuer.token())
    assert len(chain) == 2
    assert all(element.endswith("-----END CERTIFICATE-----\n") for element in chain)
    leaf = leaf_of(chain)
    assert names_of(leaf) == [FRONT]
    assert leaf.public_key() == KEY.public_key()
    assert chain[-1] == (citadel.directory / "root-cert.pem").read_text()
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert life == timedelta(hours=24, minutes=2)
    openssl.accepts(chain[0], pem_of(KEY), chain[-1])


async def test_a_request_for_another_identity_gets_the_callers_own(citadel, sign):
    stolen = (
        x509.UniformResourceIdentifier("spiffe://cluster.local/ns/istio-system/sa/pilot"),
        x509.DNSName("pilot.istio-system.svc"),
    )
    assert names_of(leaf_of(await citadel.create(sign(KEY, *stolen), token=citadel.issuer.token()))) == [FRONT]


async def test_a_certificate_renews_itself_without_a_token(citadel, sign):
    front = await citadel.identity_of("shop", "front")
    renewed = leaf_of(await citadel.create(sign(KEY), identity=front))
    assert names_of(renewed) == [FRONT]
    by_both = leaf_of(await citadel.create(sign(KEY), identity=front, token="not a token"))
    assert names_of(by_both) == [FRONT]


async def test_who_proves_nothing_gets_nothing(citadel, sign):
    issuer = citadel.issuer
    expired = issuer.token(exp=datetime.now(UTC) - timedelta(seconds=1))
    tokens = [None, "", "rubbish", expired, issuer.token(aud=["other"]), issuer.token(sub="system:serviceaccount")]
    for token in tokens:
        assert await citadel.refusal(sign(KEY), token=token) == ("UNAUTHENTICATED", "request authenticate failure")
    nobody = make_ca().issue(FRONT)
    code, _ = await citadel.refusal(sign(KEY), identity=nobody, token=issuer.token())
    assert code == "UNAVAILABLE"


async def test_nobody_gets_a_certificate_of_another_by_asking_for_it(citadel, sign):
    refused = await citadel.refusal(
        sign(KEY), token=citadel.issuer.token(), metadata={"ImpersonatedIdentity": "spiffe://cluster.local/ns/a/sa/b"}
    )
    assert refused == ("UNAUTHENTICATED", "request impersonation authentication failure")


def refused_for_their_time():
    counted = metrics.REGISTRY.get_sample_value("citadel_server_csr_sign_err_count", {"error": "TTL_ERROR"})
    return counted or 0.0


async def test_bad_requests_have_istios_codes_and_words(citadel, sign):
    token, before = citadel.issuer.token(), refused_for_their_time()
    for csr in (
        "",
        "rubbish",
        sign(rsa.generate_private_key(65537, 1024)),
        sign(ec.generate_private_key(ec.SECP224R1())),
    ):
        code, message = await citadel.refusal(csr, token=token)
        assert code == "INVALID_ARGUMENT"
        assert message.startswith("CSR signing error (")
    code, message = await citadel.refusal(sign(KEY), token=token, ttl=90 * 86400 + 1)
    assert (code, message.startswith("CSR signing error (requested TTL ")) == ("INVALID_ARGUMENT", True)
    longest = leaf_of(await citadel.create(sign(KEY), token=token, ttl=90 * 86400))
    assert longest.not_valid_after_utc - longest.not_valid_before_utc == timedelta(days=90, minutes=2)
    text = metrics.render().decode()
    assert f'citadel_server_csr_sign_err_count{{error="TTL_ERROR"}} {before + 1}' in text
    assert "citadel_server_success_cert_issuance_count" in text
    assert "citadel_server_root_cert_expiry_seconds 3.15" in text


async def test_a_plaintext_connection_gets_nothing(citadel, sign):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{citadel.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/istio.v1.auth.IstioCertificateService/CreateCertificate")(b"", timeout=10)


async def test_a_connection_that_never_speaks_disturbs_nobody(citadel, sign):
    """Attack 12."""
    silent = [socket.create_connection(("127.0.0.1", citadel.port)) for _ in range(50)]
    try:
        assert await citadel.create(sign(KEY), token=citadel.issuer.token())
    finally:
        for connection in silent:
            connection.close()


async def test_the_port_speaks_tls_1_2_at_least(citadel):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(citadel.directory / "root-cert.pem")
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", citadel.port, ssl=context)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    # The server speaks first in HTTP/2 (its SETTINGS frame): abort, so that closing does not wait for what follows it.
    assert (await asyncio.wait_for(reader.readexactly(9), 60))[3] == 4
    writer.transport.abort()


async def test_every_certificate_is_in_the_ledger_and_the_bundle_on_the_admin_api(citadel, sign):
    issued = leaf_of(await citadel.create(sign(KEY), token=citadel.issuer.token()))
    page = (await citadel.get(f"/api/v1/certificates?identity={FRONT}")).json()
    assert [row["serial"] for row in page["items"]] == [f"{issued.serial_number:032x}"]
    row = page["items"][0]
    assert row["proof"] == "token"
    assert row["peer"].startswith("127.0.0.1:")
    assert row["not_after"] == issued.not_valid_after_utc.isoformat().replace("+00:00", "Z")
    everything = (await citadel.get("/api/v1/certificates?limit=2")).json()
    assert len(everything["items"]) == 2
    rest = (await citadel.get(f"/api/v1/certificates?continue={everything['continue']}")).json()
    assert rest["items"][0]["serial"] > everything["items"][1]["serial"]
    bundle = await citadel.get("/api/v1/trust-bundle")
    assert bundle.json()["pem"] == (citadel.directory / "root-cert.pem").read_text()
    assert bundle.headers["etag"] == '"1"'


async def test_no_certificate_leaves_when_the_ledger_cannot_be_written(citadel, sign, monkeypatch):
    async def fails(*_):
        raise OperationalError("insert", {}, OSError("disk full"))

    with monkeypatch.context() as patched:
        patched.setattr(ledger_module.Ledger, "_commit", fails)
        code, message = await citadel.refusal(sign(KEY), token=citadel.issuer.token())
    assert code == "UNAVAILABLE"
    assert "ledger" in message
    assert await citadel.create(sign(KEY), token=citadel.issuer.token())


async def test_many_at_once_each_get_their_own(citadel, sign):
    async def one(number: int) -> None:
        chain = await citadel.create(sign(KEY), token=citadel.issuer.token("shop", f"w{number}"))
        assert names_of(leaf_of(chain)) == [f"spiffe://cluster.local/ns/shop/sa/w{number}"]

    await asyncio.gather(*(one(number) for number in range(40)))
    page = (await citadel.get("/api/v1/certificates?limit=1000")).json()
    assert len({row["identity"] for row in page["items"]} - {FRONT}) >= 40


async def test_a_service_renews_its_own_certificate_with_all_its_names(citadel):
    pilot = LiveIdentity.load(citadel.directory / "pilot")
    before = pilot.current
    renewed = await renewal.renew(before, f"127.0.0.1:{citadel.port}")
    assert renewed.key != before.key
    assert names_of(renewed.certificate) == names_of(before.certificate)
    assert renewed.not_after - renewed.not_before == timedelta(days=30, minutes=2)
    pilot.replace(renewed)
    assert load_identity(citadel.directory / "pilot") == renewed


async def test_a_service_past_half_of_its_life_renews_by_itself(citadel, monkeypatch):
    monkeypatch.setattr(renewal, "time_to_rotation", half_life_reached_once())
    pilot = LiveIdentity.load(citadel.directory / "pilot")
    changed = asyncio.Event()
    pilot.on_change(lambda _: changed.set())
    task = asyncio.ensure_future(renewal.keep_current(pilot, f"127.0.0.1:{citadel.port}"))
    try:
        async with asyncio.timeout(60):
            await changed.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert spiffe_of_certificate(pilot.current.certificate) == spiffe_of_certificate(
        load_identity(citadel.directory / "pilot").certificate
    )


async def test_attack_16_certificates_that_are_old_when_they_come_are_not_asked_for_without_rest(
    tmp_path, issuer, start_citadel
):
    """A root of less than two minutes: with the two that are dated back, half of every life is over at its start."""
    directory = tmp_path / "short"
    await initialise(InitOptions(directory, Installation("cluster.local"), timedelta(seconds=100)))
    async with start_citadel(directory, issuer, token_issuer=None) as citadel:
        await citadel.runtime.readiness.wait()
        pilot = LiveIdentity.load(directory / "pilot")
        changed = asyncio.Event()
        pilot.on_change(lambda _: changed.set())
        run = renewal.keep_current(pilot, f"127.0.0.1:{citadel.port}")
        async with tasks.background(run, name="pilot"), asyncio.timeout(60):
            await changed.wait()
            for _ in range(30):
                await renewal.renew(load_identity(directory / "galley"), f"127.0.0.1:{citadel.port}")
        rows = (await citadel.get("/api/v1/certificates?limit=1000")).json()["items"]
    for account in ("pilot", "citadel"):
        times = sorted(datetime.fromisoformat(row["issued_at"]) for row in rows if row["identity"].endswith(account))
        # The first is of `init`, the second may follow at once.
        assert len(times) >= 2
        assert all(after - before > timedelta(seconds=LEAST_BETWEEN - 2) for before, after in pairwise(times[1:]))


def half_life_reached_once():
    answers = iter([timedelta()])
    return lambda *_, **__: next(answers, timedelta(hours=1))


async def test_a_stock_agent_with_an_rsa_key_is_served(citadel, sign):
    key = rsa.generate_private_key(65537, 2048)
    assert leaf_of(await citadel.create(sign(key), token=citadel.issuer.token())).public_key() == key.public_key()


async def test_a_certificate_that_expires_on_an_open_connection_proves_nothing_any_more(
    identity_directory, issuer, start_citadel, sign
):
    async with start_citadel(identity_directory, issuer, requests_per_second=0) as citadel:
        await citadel.runtime.readiness.wait()
        await expires_on_an_open_connection(citadel, sign)


async def expires_on_an_open_connection(citadel, sign):
    request = ca_pb2.IstioCertificateRequest(csr=sign(ec.generate_private_key(ec.SECP256R1())))
    for life in (2, 4, 8, 16):
        short = await citadel.identity_of("shop", "front", ttl=life)
        async with citadel.channel(identity=short) as channel, asyncio.timeout(60):
            stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)
            served, refused = await renewed_until_refused(stub, request, short.not_after + timedelta(minutes=1))
        assert datetime.now(UTC) >= short.not_after
        # On a busy machine it may expire before its connection is there, and then nothing is open.
        if served:
            assert refused is grpc.StatusCode.UNAUTHENTICATED
            return
    pytest.fail("each certificate had expired before there was a connection")


async def renewed_until_refused(stub, request, end):
    """How many times it was served, and the code of the refusal; None for none until the end."""
    served = 0
    while datetime.now(UTC) < end:
        try:
            await stub.CreateCertificate(request)
        except grpc.aio.AioRpcError as error:
            return served, error.code()
        served += 1
    return served, None
