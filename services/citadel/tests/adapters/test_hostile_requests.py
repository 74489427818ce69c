"""What a client may throw at the certificate service. Numbers of attacks are those of docs/security-tests.md."""

import asyncio
import base64
import hashlib
import ipaddress
from collections import Counter
from datetime import timedelta

import grpc
import pytest
from citadel.adapters.certificate_service import METHOD
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
from meshcore.http2.frames import INITIAL_WINDOW_SIZE
from meshcore.testing.http2_client import FrameClient
from meshcore.tls import ssl_root_context

KEY = ec.generate_private_key(ec.SECP256R1())
FRONT = "spiffe://cluster.local/ns/shop/sa/front"
MINUTES = timedelta(minutes=2)


def pem_of(request: x509.CertificateSigningRequest) -> str:
    return request.public_bytes(serialization.Encoding.PEM).decode()


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def leaf_of(chain: list[str]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(chain[0].encode())


async def test_nothing_of_a_request_but_its_key_gets_into_the_leaf(citadel):
    """Attacks 1 and 2."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pilot.istio-system.svc")])
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(True, True, True, True, True, True, True, False, False),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.UniformResourceIdentifier("spiffe://cluster.local/ns/istio-system/sa/pilot"),
                    x509.DNSName("pilot.istio-system.svc"),
                    x509.RFC822Name("a@example.com"),
                    x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
                ]
            ),
            critical=True,
        )
        .sign(KEY, hashes.SHA256())
    )
    plain = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(KEY, hashes.SHA256())
    leaves = [leaf_of(await citadel.create(pem_of(one), token=citadel.issuer.token())) for one in (greedy, plain)]
    for leaf in leaves:
        assert leaf.subject == x509.Name([])
    described = [
        [(one.oid, one.critical, one.value) for one in leaf.extensions if one.oid != x509.SubjectKeyIdentifier.oid]
        for leaf in leaves
    ]
    assert described[0] == described[1]
    names = leaves[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one.value) for one in names] == [FRONT]


def forged() -> str:
    """A request whose signature is of another key."""
    der = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(KEY, hashes.SHA256())
    body = bytearray(der.public_bytes(serialization.Encoding.DER))
    body[-1] ^= 1
    text = base64.b64encode(bytes(body)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n"


def nested(depth: int) -> str:
    body = b""
    for _ in range(depth):
        length = len(body)
        size = bytes([length]) if length < 128 else bytes([0x82]) + length.to_bytes(2, "big")
        body = b"\x30" + size + body
    text = base64.b64encode(body).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n"


async def test_broken_requests_are_refused_and_the_next_one_is_served(citadel, sign):
    """Attack 3."""
    good = sign(KEY)
    token = citadel.issuer.token()
    broken = [
        forged(),
        good[: len(good) // 2],
        good.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
        "\x00" * 100,
        nested(5000),
        good.replace("\n", " " * 70_000, 1),
        good + sign(ec.generate_private_key(ec.SECP256R1())),
        good + good,
        good + pem_of_key(KEY),
    ]
    for csr in broken:
        code, message = await citadel.refusal(csr, token=token)
        assert (code, message.startswith("CSR signing error (")) == ("INVALID_ARGUMENT", True)
    assert (await citadel.refusal("x" * 5_000_000, token=token))[0] == "RESOURCE_EXHAUSTED"
    assert leaf_of(await citadel.create(good, token=token)).public_key() == KEY.public_key()


async def test_weak_and_odd_keys_are_refused_strong_ones_taken(citadel):
    """Attack 4."""
    token = citadel.issuer.token()
    small_exponent = rsa.generate_private_key(3, 2048)
    for key in (
        rsa.generate_private_key(65537, 1024),
        small_exponent,
        ec.generate_private_key(ec.SECP224R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        dsa.generate_private_key(2048),
    ):
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        assert (await citadel.refusal(pem_of(request), token=token))[0] == "INVALID_ARGUMENT", type(key)
    for key, algorithm in (
        (rsa.generate_private_key(65537, 2048), hashes.SHA256()),
        (ec.generate_private_key(ec.SECP384R1()), hashes.SHA384()),
        (ed25519.Ed25519PrivateKey.generate(), None),
    ):
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, algorithm)
        leaf = leaf_of(await citadel.create(pem_of(request), token=token))
        assert leaf.public_key() == key.public_key()


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    return bytes([tag]) + (bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")) + body


def rsa_request(modulus: int, exponent: int, private: int) -> str:
    """A request with such a key, rightly signed; libraries make none of these."""

    def number(value: int) -> bytes:
        return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))

    def algorithm(last: int) -> bytes:
        return der(0x30, der(0x06, bytes.fromhex("2a864886f70d0101") + bytes([last])), b"\x05\x00")

    public = der(0x30, algorithm(1), der(0x03, b"\x00", der(0x30, number(modulus), number(exponent))))
    asked = der(0x30, number(0), der(0x30), public, b"\xa0\x00")
    digest = hashlib.sha256(asked).digest()
    info = der(0x30, der(0x30, bytes.fromhex("0609608648016503040201"), b"\x05\x00"), der(0x04, digest))
    size = (modulus.bit_length() + 7) // 8
    padded = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
    signature = pow(int.from_bytes(padded, "big"), private, modulus).to_bytes(size, "big")
    text = base64.b64encode(der(0x30, asked, algorithm(11), der(0x03, b"\x00", signature))).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n"


async def test_attack_4_keys_that_prove_nothing_are_refused(citadel):
    """With an exponent of 1 everybody can sign; a modulus of 512 bits is broken in hours."""
    made = rsa.generate_private_key(65537, 2048).private_numbers()
    modulus = made.public_numbers.n
    assert x509.load_pem_x509_csr(rsa_request(modulus, 65537, made.d).encode()).is_signature_valid
    small = rsa.generate_private_key(65537, 1024).private_numbers().p
    token = citadel.issuer.token()
    for csr in (rsa_request(modulus, 1, 1), rsa_request(small, 65537, pow(65537, -1, small - 1))):
        assert (await citadel.refusal(csr, token=token))[0] == "INVALID_ARGUMENT"
    assert await citadel.create(rsa_request(modulus, 65537, made.d), token=token)


@pytest.mark.parametrize(
    ("seconds", "life"),
    [
        (0, timedelta(hours=24)),
        (-1, timedelta(hours=24)),
        (-(2**63), timedelta(hours=24)),
        (60, timedelta(seconds=60)),
        (90 * 86400, timedelta(days=90)),
        (90 * 86400 + 1, None),
        (2**63 - 1, None),
    ],
)
async def test_lives_are_as_asked_by_default_or_refused(citadel, sign, seconds, life):
    """Attack 5."""
    token = citadel.issuer.token()
    if life is None:
        assert (await citadel.refusal(sign(KEY), token=token, ttl=seconds))[0] == "INVALID_ARGUMENT"
        return
    leaf = leaf_of(await citadel.create(sign(KEY), token=token, ttl=seconds))
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == life + MINUTES


async def test_one_caller_that_asks_too_much_is_limited_and_others_are_not(
    identity_directory, issuer, start_citadel, sign
):
    """Attack 12."""
    limits = {"requests_per_second": 0.01, "requests_burst": 5}
    async with start_citadel(identity_directory, issuer, **limits) as citadel:
        await citadel.runtime.readiness.wait()
        csr = sign(KEY)
        greedy = ("authorization", f"Bearer {issuer.token('shop', 'greedy')}")
        found = await asyncio.gather(*(citadel.call(csr, greedy) for _ in range(60)))
        refused = [one for one in found if isinstance(one, tuple)]
        assert len(refused) == 55, "however long sixty connections take"
        assert {code for code, _ in refused} == {"RESOURCE_EXHAUSTED"}
        assert "come again in" in refused[0][1]
        assert await citadel.create(csr, token=issuer.token("shop", "front"))


async def test_attack_12_a_thousand_requests_at_once_and_slow_readers_hold_up_nobody(
    identity_directory, issuer, start_citadel, sign
):
    """One caller's thousand on one connection; twenty connections that ask fifty times each and take no answer."""
    limits = {"requests_per_second": 0.01, "requests_burst": 50}
    root = (identity_directory / "root-cert.pem").read_bytes()
    async with start_citadel(identity_directory, issuer, **limits) as citadel, citadel.channel() as channel:
        await citadel.runtime.readiness.wait()
        message = ca_pb2.IstioCertificateRequest(csr=sign(KEY))
        stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)
        greedy = (("authorization", f"Bearer {issuer.token('shop', 'greedy')}"),)
        thousand = [stub.CreateCertificate(message, metadata=greedy, timeout=90) for _ in range(1000)]
        slow = []
        for number in range(20):
            client = await FrameClient.open("127.0.0.1", citadel.port, ssl_root_context(root), {INITIAL_WINDOW_SIZE: 0})
            token = (("authorization", f"Bearer {issuer.token('shop', f'slow{number}')}"),)
            for stream in range(1, 101, 2):
                client.call(stream, METHOD, message.SerializeToString(), headers=token)
            slow.append(client)
        for number in range(5):
            assert await citadel.create(sign(KEY), token=issuer.token("shop", f"good{number}"))
        found = await asyncio.gather(*thousand, return_exceptions=True)
        codes = Counter(one.code().name for one in found if isinstance(one, grpc.aio.AioRpcError))
        assert set(codes) == {"RESOURCE_EXHAUSTED"}
        assert codes["RESOURCE_EXHAUSTED"] == 1000 - 50
        for client in slow:
            assert not client.reader.at_eof(), "who is slow is not sent away at once"
            client.close()
        assert await citadel.create(sign(KEY), token=issuer.token("shop", "good0"))
