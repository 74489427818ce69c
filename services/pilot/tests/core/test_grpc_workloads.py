"""mTLS of gRPC workloads without a proxy: when it is spoken, and what is told of TLS that they do not know."""

import pytest
import yaml
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from meshcore.model.load import parse_object
from meshcore.xds import registry
from meshcore.xds.references import dangling
from meshcore.xds.types import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE
from pilot.core.compiler import compile_resources
from pilot.core.node import parse_node
from pilot.core.proxy import classify
from pilot.core.snapshot import MeshSnapshot

NAME = "outbound|9080||reviews.shop.svc.cluster.local"
MESH = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {clusterIP: 10.0.0.2, selector: {app: reviews}, ports: [{name: grpc, port: 9080, targetPort: 50051}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: reviews-v1, namespace: shop}
spec: {address: 10.1.0.2, labels: {app: reviews}, serviceAccount: reviews}
"""
POLICY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: all, namespace: shop}
spec: {mtls: {mode: %s}}
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec: {host: reviews, trafficPolicy: {tls: {mode: %s}}}
"""


def compiled(text, address="10.1.0.9", **metadata):
    snapshot = MeshSnapshot.of(map(parse_object, yaml.safe_load_all(text)))
    node = {
        "id": f"sidecar~{address}~a.shop~shop.svc.cluster.local",
        "metadata": {"GENERATOR": "grpc", "NAMESPACE": "shop", **metadata},
    }
    made = compile_resources(snapshot, classify(parse_node(node), snapshot.selection))
    assert dangling(made) == ()
    return made


def mesh(*more):
    return "---".join((MESH, *more))


def socket_of(made):
    cluster = registry.parse(CLUSTER_TYPE, made.of_type(CLUSTER_TYPE)[NAME].body)
    if not cluster.HasField("transport_socket"):
        return None
    return tls_pb2.UpstreamTlsContext.FromString(cluster.transport_socket.typed_config.value).common_tls_context


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        (mesh(), False),
        (mesh(POLICY % "STRICT"), True),
        (mesh(POLICY % "DISABLE"), False),
        (mesh(RULE % "ISTIO_MUTUAL"), True),
        (mesh(RULE % "DISABLE", POLICY % "STRICT"), False),
    ],
)
def test_when_a_client_speaks_mtls(text, spoken):
    found = socket_of(compiled(text))
    assert (found is not None) is spoken
    if found is not None:
        assert found.tls_certificate_provider_instance.instance_name == "default"
        assert found.validation_context.ca_certificate_provider_instance.instance_name == "default"
        names = [matcher.exact for matcher in found.validation_context.match_subject_alt_names]
        assert names == ["spiffe://cluster.local/ns/shop/sa/reviews"]
        assert not found.tls_certificate_sds_secret_configs


def test_calls_fail_rather_than_going_in_the_clear_where_a_rule_asks_for_tls_that_grpc_does_not_know():
    made = compiled(mesh(RULE % "SIMPLE"))
    assert socket_of(made) is None
    assert not registry.parse(ENDPOINT_TYPE, made.of_type(ENDPOINT_TYPE)[NAME].body).endpoints
    (problem,) = made.diagnostics
    assert (problem.code, problem.config.rpartition("/")[2]) == ("tls-not-known-to-grpc", "reviews")


@pytest.mark.parametrize(
    ("more", "labels", "mutual"),
    [
        ((), {}, True),
        ((), {"security.istio.io/tlsMode": "disabled"}, False),
        ((POLICY % "STRICT",), {"security.istio.io/tlsMode": "disabled"}, True),
        ((POLICY % "DISABLE",), {"security.istio.io/tlsMode": "istio"}, False),
    ],
)
def test_when_a_server_asks_for_mtls(more, labels, mutual):
    made = compiled(mesh(*more), "10.1.0.2", LABELS={"app": "reviews", **labels})
    names = [name for name in made.of_type(LISTENER_TYPE) if name.startswith("xds.istio.io/")]
    prefix = "xds.istio.io/grpc/lds/inbound/"
    assert names == [prefix + at for at in ("0.0.0.0:50051", "10.1.0.2:50051", "[::]:50051")]
    for name in names:
        listener = registry.parse(LISTENER_TYPE, made.of_type(LISTENER_TYPE)[name].body)
        assert listener.filter_chains[0].HasField("transport_socket") is mutual


def test_who_serves_nothing_has_no_listener_of_a_server():
    assert not [name for name in compiled(mesh()).of_type(LISTENER_TYPE) if name.startswith("xds.istio.io/")]
