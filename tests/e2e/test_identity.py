"""A proxy is who its certificate says: Pilot refuses a node of another namespace."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from mesh import Mesh


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
        call = stub.DeltaAggregatedResources(iter([request]), timeout=10)
        try:
            return next(iter(call))
        finally:
            call.cancel()


def test_a_proxy_that_claims_another_namespace_is_refused(mesh: Mesh) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        first_answer(mesh, "sidecar~127.9.9.9~thief.books~books.svc.cluster.local", "books", "ledger")
    assert caught.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
    assert mesh.get("http://ledger.books:9080/").good
