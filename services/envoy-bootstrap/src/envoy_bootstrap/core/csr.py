"""The certificate signing request of a workload, in Istio's form: empty organisation, the SPIFFE id as critical SAN.

Pure: the key comes in, the PEM goes out. The CA decides the identity from the caller's credential, not from this.
"""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.x509.oid import NameOID
from meshcore.identity import SpiffeId
from meshcore.tls import PrivateKeyPem

WorkloadKey = EllipticCurvePrivateKey | RSAPrivateKey


def build_csr(key: WorkloadKey, identity: SpiffeId) -> str:
    """The request as PEM text, signed with SHA-256."""
    # A name attribute may not be empty in the builder's eyes; Istio's agents send exactly that.
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "", _validate=False)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([organisation]))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(identity))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.PEM).decode("ascii")


def private_key_pem(key: WorkloadKey) -> PrivateKeyPem:
    """PKCS#8 PEM, which Envoy and gRPC both read."""
    return PrivateKeyPem(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
