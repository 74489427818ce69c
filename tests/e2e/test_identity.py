"""Everybody is who they can prove to be, whatever they say: in a node, in a signing request, in a certificate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from mesh import Mesh
from meshcore._generated.istio.v1.auth import ca_pb2, ca_pb2_grpc
from meshcore.errors import MeshError
from meshctl.adapters.enrolment import Enrolment, GalleyAccess, unfinished
from meshctl.core.workloads import Workload, WorkloadsFile


def first_answer(mesh: Mesh, node_id: str, namespace: str, account: str) -> discovery_pb2.DeltaDiscoveryResponse:
    identity = Path(mesh.layout.identities) / "meshctl"
    credentials = grpc.ssl_channel_credentials(
        (identity / "root-cert.pem").read_bytes(),
        (identity / "key.pem").read_bytes(),
        (identity / "cert-chain.pem").read_bytes(),
    )
    request = discovery_pb2.DeltaDiscoveryRequest(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster")
    request.node.id = node_id
    request.node.metadata.update({"NAMESPACE": namespace, "SERVICE_ACCOUNT": account})
    with grpc.secure_channel(f"{mesh.stack.pilot()}:15012", credentials) as channel:
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
        call = stub.DeltaAggregatedResources(iter([request]), timeout=60)
        try:
            return next(iter(call))
        finally:
            call.cancel()


def test_a_workloads_token_opens_a_stream_for_it_and_for_nobody_else(mesh: Mesh) -> None:
    """At the port of the proxies' certificates, where Galley is the issuer."""
    target = f"{mesh.stack.pilot()}:15012"
    root = grpc.ssl_channel_credentials(Path(mesh.layout.root_certificate).read_bytes())
    token = mesh.config.workload_token("default", "client")

    def ask(namespace: str, bearer: str) -> Any:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url="type.googleapis.com/envoy.config.cluster.v3.Cluster")
        request.node.id = f"sidecar~127.9.9.9~reader.{namespace}~{namespace}.svc.cluster.local"
        request.node.metadata.update({"NAMESPACE": namespace})
        with grpc.secure_channel(target, root) as channel:
            stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
            metadata = (("authorization", f"Bearer {bearer}"),)
            call = stub.DeltaAggregatedResources(iter([request]), metadata=metadata, timeout=60)
            try:
                return next(iter(call))
            finally:
                call.cancel()

    assert ask("default", token).resources
    for namespace, bearer, code in (
        ("books", token, grpc.StatusCode.PERMISSION_DENIED),
        ("default", token[:-6] + "AAAAAA", grpc.StatusCode.UNAUTHENTICATED),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            ask(namespace, bearer)
        assert caught.value.code() is code


def test_a_workload_without_an_account_keeps_no_other_from_its_token(mesh: Mesh, tmp_path: Path) -> None:
    galley = GalleyAccess(
        f"https://{mesh.stack.galley}:8081", mesh.layout.root_certificate, str(mesh.layout.admin_token)
    )
    nobody, client = (Workload(name, service_account=name) for name in ("nobody", "client"))
    enrolment = Enrolment(galley, tmp_path, WorkloadsFile(str(tmp_path), (), (nobody, client)))
    with pytest.raises(MeshError, match="nobody"):
        list(enrolment.refresh(time.time()))
    assert unfinished(tmp_path, (nobody, client), time.time()) == ("nobody",)
    token = tmp_path / "client" / "token"
    assert (token.read_text().count("."), token.stat().st_mode & 0o777) == (2, 0o440)


def test_a_proxy_that_claims_another_namespace_is_refused(mesh: Mesh) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        first_answer(mesh, "sidecar~127.9.9.9~thief.books~books.svc.cluster.local", "books", "ledger")
    assert caught.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
    assert mesh.get("http://ledger.books:9080/").good


@pytest.mark.parametrize(
    ("namespace", "account"), [("istio-system", "ledger"), ("books", "meshctl")], ids=["namespace", "service account"]
)
def test_half_of_the_identity_is_not_enough(mesh: Mesh, namespace: str, account: str) -> None:
    """The caller proves istio-system/meshctl."""
    with pytest.raises(grpc.RpcError) as caught:
        first_answer(mesh, f"sidecar~127.9.9.9~thief.{namespace}~{namespace}.svc.cluster.local", namespace, account)
    assert caught.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


def issued(mesh: Mesh, token: str, csr: bytes) -> x509.Certificate:
    root = grpc.ssl_channel_credentials((Path(mesh.layout.root_certificate)).read_bytes())
    request = ca_pb2.IstioCertificateRequest(csr=csr.decode(), validity_duration=600)
    with grpc.secure_channel(f"{mesh.stack.citadel}:8060", root) as channel:
        stub = ca_pb2_grpc.IstioCertificateServiceStub(channel)
        answer = stub.CreateCertificate(request, metadata=(("authorization", f"Bearer {token}"),), timeout=60)
    return x509.load_pem_x509_certificate(answer.cert_chain[0].encode())


def signing_request(spiffe_id: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe_id)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_signing_request_for_somebody_else_gets_ones_own_identity(mesh: Mesh) -> None:
    """As Istio: names in the request count for nothing, the certificate names the authenticated caller."""
    token = mesh.config.workload_token("default", "client")
    certificate = issued(mesh, token, signing_request("spiffe://cluster.local/ns/books/sa/ledger"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["spiffe://cluster.local/ns/default/sa/client"]


def test_without_a_valid_token_there_is_no_certificate(mesh: Mesh) -> None:
    token = mesh.config.workload_token("default", "client")
    for wrong in ("", "nonsense", token[:-6] + "AAAAAA"):
        with pytest.raises(grpc.RpcError) as caught:
            issued(mesh, wrong, signing_request("spiffe://cluster.local/ns/default/sa/client"))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
