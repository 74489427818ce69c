"""A client of Istio's CA protocol, written from the protocol's facts alone, and the profile of what it gets.

Messages, metadata, order of the answer and retries are those of Istio's agent; nothing here imports the project's own
client or messages. The profile is Istio's, field by field (security/pkg/pki/util).
"""

import asyncio
import base64
import random
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID
from meshcore.errors import MeshError
from meshcore.testing import openssl

FRONT = "spiffe://cluster.local/ns/shop/sa/front"
RETRIED = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
}


class StockClient:
    """Five tries from 100 ms, a connection for each; the chain is every element, the root is the last."""

    def __init__(self, citadel, messages, token):
        self._citadel = citadel
        self._request, self._answer = messages
        self._token = token

    async def sign(self, csr, seconds):
        request = self._request(csr=csr, validity_duration=seconds)
        request.metadata.update({"CertSigner": ""})
        for attempt in range(5):
            try:
                elements = await self._ask(request)
                break
            except grpc.aio.AioRpcError as error:
                if error.code() not in RETRIED or attempt == 4:
                    raise
                await asyncio.sleep(0.1 * 2**attempt * random.uniform(0.9, 1.1))
        assert len(elements) >= 2, "empty chain"
        return "".join(elements), elements[-1]

    async def _ask(self, request):
        root = (self._citadel.directory / "root-cert.pem").read_bytes()
        target = f"127.0.0.1:{self._citadel.port}"
        async with grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(root)) as channel:
            call = channel.unary_unary(
                "/istio.v1.auth.IstioCertificateService/CreateCertificate",
                request_serializer=self._request.SerializeToString,
                response_deserializer=self._answer.FromString,
            )
            metadata = (("authorization", f"Bearer {self._token}"), ("clusterid", "Kubernetes"))
            return list((await call(request, metadata=metadata, timeout=60)).cert_chain)


def stock_request(key) -> str:
    """Organisation "", one critical SAN with the SPIFFE URI."""
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "", _validate=False)
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([organisation]))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(FRONT)]), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def pem_of(key) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


KEYS = {
    "RSA 2048, the stock default": rsa.generate_private_key(65537, 2048),
    "P256": ec.generate_private_key(ec.SECP256R1()),
    "P384": ec.generate_private_key(ec.SECP384R1()),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
async def test_a_stock_client_gets_a_certificate_of_istios_profile(citadel, stock_messages, key):
    client = StockClient(citadel, stock_messages, citadel.issuer.token())
    before = datetime.now(UTC).replace(microsecond=0)
    chain, root = await client.sign(stock_request(key), 24 * 3600)
    after = datetime.now(UTC)
    openssl.accepts(chain, pem_of(key), root)

    leaf = x509.load_pem_x509_certificate(chain.encode())
    assert leaf.version is x509.Version.v3
    assert leaf.subject == x509.Name([])
    assert leaf.public_key() == key.public_key()
    assert 0 < leaf.serial_number < 1 << 128
    assert before <= leaf.not_valid_before_utc + timedelta(minutes=2) <= after
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(hours=24, minutes=2)
    assert leaf.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
    signer = x509.load_pem_x509_certificate(root.encode())
    assert leaf.issuer == signer.subject
    found = {type(one.value): (one.critical, one.value) for one in leaf.extensions}
    usage = dict.fromkeys(
        (
            *("content_commitment", "data_encipherment", "key_agreement", "key_cert_sign"),
            *("crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    identifier = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert found == {
        x509.KeyUsage: (True, x509.KeyUsage(digital_signature=True, key_encipherment=True, **usage)),
        x509.ExtendedKeyUsage: (
            False,
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        ),
        x509.BasicConstraints: (True, x509.BasicConstraints(ca=False, path_length=None)),
        x509.AuthorityKeyIdentifier: (
            False,
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
        ),
        x509.SubjectAlternativeName: (True, x509.SubjectAlternativeName([x509.UniformResourceIdentifier(FRONT)])),
    }


async def test_the_self_signed_root_is_istios(citadel):
    root = x509.load_pem_x509_certificate((citadel.directory / "root-cert.pem").read_bytes())
    assert root.subject.rfc4514_string() == "O=cluster.local"
    assert root.not_valid_after_utc - root.not_valid_before_utc == timedelta(days=3650)
    found = {type(one.value): one.value for one in root.extensions}
    assert set(found) == {x509.KeyUsage, x509.BasicConstraints, x509.SubjectKeyIdentifier}
    assert found[x509.BasicConstraints].ca
    usage = found[x509.KeyUsage]
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, False, False)


async def test_a_refusal_is_one_that_the_stock_client_does_not_repeat(citadel, stock_messages):
    for token, csr, code in (
        ("nonsense", stock_request(KEYS["P256"]), grpc.StatusCode.UNAUTHENTICATED),
        (citadel.issuer.token(), "nonsense", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await StockClient(citadel, stock_messages, token).sign(csr, 0)
        assert refused.value.code() is code
        assert code not in RETRIED


async def test_a_stock_client_outlasts_a_restart(identity_directory, issuer, start_citadel, stock_messages):
    async with start_citadel(identity_directory, issuer) as citadel:
        await citadel.runtime.readiness.wait()
        port = citadel.port
    client = StockClient(citadel, stock_messages, issuer.token())

    async def again():
        async with start_citadel(identity_directory, issuer, port=port) as returned:
            await returned.runtime.readiness.wait()
            return await asking

    async def ask() -> tuple[str, str]:
        """Round after round, as an agent does: a start of ours may take longer than the five tries of one."""
        while True:
            try:
                return await client.sign(stock_request(KEYS["P256"]), 0)
            except grpc.aio.AioRpcError as error:
                if error.code() not in RETRIED:
                    raise

    asking = asyncio.ensure_future(ask())
    async with asyncio.timeout(60):
        chain, root = await again()
    assert chain.endswith(root)


async def test_an_authority_that_cannot_have_its_key_is_away_and_a_stock_client_comes_again(
    identity_directory, issuer, start_citadel, stock_messages
):
    """Istio's CA_NOT_READY: here nobody listens before the key is there, which is tried again as well."""
    async with start_citadel(identity_directory, issuer) as citadel:
        await citadel.runtime.readiness.wait()
        port = citadel.port
    other_key = base64.b64encode(bytes(32)).decode()
    with pytest.RaisesGroup(pytest.RaisesExc(MeshError, match="key-encryption key")):
        async with start_citadel(identity_directory, issuer, port=port, kek=other_key):
            pytest.fail("it started")
    client = StockClient(citadel, stock_messages, issuer.token())
    with pytest.raises(grpc.aio.AioRpcError) as away:
        await client.sign(stock_request(KEYS["P256"]), 0)
    assert away.value.code() is grpc.StatusCode.UNAVAILABLE
    assert away.value.code() in RETRIED
    async with start_citadel(identity_directory, issuer, port=port) as returned:
        await returned.runtime.readiness.wait()
        chain, root = await client.sign(stock_request(KEYS["P256"]), 0)
    assert chain.endswith(root)
