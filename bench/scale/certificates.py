"""A certificate for each class of simulated proxies: of the mesh's Citadel, as an agent gets it, or of a CA at hand."""

from __future__ import annotations

from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
from meshcore.testing.identity import TestCa
from meshctl.core.topology import CA_PORT

from bench.scale.client.node import namespace_of
from bench.scale.fed_objects import ACCOUNT
from bench.scale.mesh import Mesh


def write_certificates(mesh: Mesh, classes: int, folder: Path) -> None:
    """`NAMESPACE.key`, `NAMESPACE.pem` for each class, and `root-cert.pem`."""
    root = Path(mesh.layout.root_certificate).read_bytes()
    (folder / "root-cert.pem").write_bytes(root)
    target = f"{mesh.stack.citadel}:{CA_PORT}"
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(root)) as channel:
        stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)
        for kind in range(classes):
            _write(mesh, stub, folder, namespace_of(kind))


def write_certificates_of(ca: TestCa, classes: int, folder: Path) -> None:
    """The same of a CA at hand."""
    (folder / "root-cert.pem").write_bytes(ca.root_pem)
    for kind in range(classes):
        space = namespace_of(kind)
        issued = ca.issue(f"spiffe://cluster.local/ns/{space}/sa/{ACCOUNT}")
        (folder / f"{space}.key").write_bytes(issued.key.pem)
        (folder / f"{space}.pem").write_bytes(issued.chain)


def _write(mesh: Mesh, stub: ca_pb2_grpc.IstioCertificateServiceStub, folder: Path, space: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    asked = ca_pb2.IstioCertificateRequest(csr=request.public_bytes(serialization.Encoding.PEM).decode())
    proof = (("authorization", f"Bearer {mesh.config.workload_token(space, ACCOUNT)}"),)
    chain = stub.CreateCertificate(asked, metadata=proof, timeout=30).cert_chain
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{space}.key"
    path.touch(mode=0o600)
    path.write_bytes(pem)
    (folder / f"{space}.pem").write_text("".join(chain[:-1]))
