"""Who opens a stream without a client certificate: tokens of workloads, by OIDC and by an API server's word, and what a
trusted gateway tells. Galley is the issuer and the API server; clients are gRPC's, and an Envoy."""

import ipaddress

import grpc
import pytest
from envoy.config.cluster.v3 import cluster_pb2
from meshcore.authentication.call_proofs import CallProofs
from meshcore.authentication.token_keys import TokenIssuer, TokenKeys
from meshcore.authentication.token_reviewers import TokenReviewers
from meshcore.authentication.workload_token import TokenRules
from meshcore.http.kubeconfig import Access
from meshcore.runtime import tasks
from meshcore.testing.addresses import claim
from meshcore.testing.ads_client import AdsClient, node
from meshcore.testing.envoy import running_envoy
from meshcore.testing.galley import TOKEN, GalleyProcess, running
from meshcore.tls import grpc_root_credentials
from meshcore.xds.resource import PackedResource, ResourceSet
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE
from pilot.adapters.client_authentication import REFUSED
from real_envoy import VARIANTS, bootstrap

AUDIENCES = ("istio-ca",)
FRONT = "spiffe://cluster.local/ns/shop/sa/front"


@pytest.fixture(scope="module")
def galley(tmp_path_factory):
    with claim() as block, running(GalleyProcess(tmp_path_factory.mktemp("galley"), block.address())) as process:
        yield process


async def token_of(galley, namespace="shop", account="front", audiences=AUDIENCES):
    async with galley.client() as client:
        await client.post("/api/v1/namespaces", json={"metadata": {"name": namespace}})
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        await client.post(accounts, json={"metadata": {"name": account}})
        made = await client.post(f"{accounts}/{account}/token", json={"spec": {"audiences": list(audiences)}})
        return made.raise_for_status().json()["status"]["token"]


@pytest.fixture
async def by_oidc(galley, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    keys = TokenKeys(TokenIssuer(galley.url, galley.client_context(), token_file=tmp_path / "token"), None)
    async with tasks.background(keys.run(), name="keys"):
        await keys.loaded.wait()
        yield CallProofs("cluster.local", keys=keys, rules=TokenRules(galley.url, AUDIENCES, "cluster.local"))


@pytest.fixture
async def by_review(galley):
    access = Access(galley.url, galley.client_context(), TOKEN)
    reviewers = TokenReviewers(access, "Kubernetes", {}, AUDIENCES, "cluster.local")
    yield CallProofs("cluster.local", reviewers=reviewers)
    await reviewers.close()


@pytest.fixture
def root(ca):
    """Credentials of a client that shows no certificate."""
    return grpc_root_credentials(ca.root_pem)


def bearer(token):
    return [("authorization", f"Bearer {token}")]


def sidecar(**said):
    return node("a", "shop", service_account="front", **said)


async def refusal(target, who, credentials, metadata):
    async with AdsClient(target, who, credentials, metadata=metadata) as client:
        await client.until(lambda: client.ended)
        return client.error.code().name, client.error.details()


@pytest.mark.parametrize("way", ["oidc", "review"])
async def test_a_token_opens_a_stream_for_its_workload_alone(
    way, galley, by_oidc, by_review, root, serve_mesh, workload_credentials
):
    async with serve_mesh(proofs=by_oidc if way == "oidc" else by_review) as mesh:
        good = bearer(await token_of(galley))
        async with AdsClient(mesh.secure, sidecar(), root, metadata=good) as client:
            await client.until(lambda: client.names(LISTENER_TYPE) == {"inbound"})
            [stream] = mesh.hub.engine.streams.values()
            assert stream.proxy.identity == FRONT
        for who in (node("a", "bank", service_account="front"), node("a", "shop", service_account="other")):
            assert (await refusal(mesh.secure, who, root, good))[0] == "PERMISSION_DENIED"
        refused = ("UNAUTHENTICATED", REFUSED)
        odd = await token_of(galley, audiences=["elsewhere"])
        for metadata in ([], bearer(odd), bearer("x"), [("authorization", good[0][1].lower())], bearer(TOKEN)):
            assert await refusal(mesh.secure, sidecar(), root, metadata) == refused
        # A certificate counts at the same port, and before what comes beside it.
        credentials = workload_credentials(service_account="front")
        async with AdsClient(mesh.secure, sidecar(), credentials, metadata=bearer("x")) as client:
            await client.until(lambda: client.names(LISTENER_TYPE) == {"inbound"})


def one_cluster_for_each_service(snapshot, proxy_class):
    hosts = [key.host for key in snapshot.registry.services]
    return ResourceSet.of(
        PackedResource.pack(CLUSTER_TYPE, host, cluster_pb2.Cluster(name=host, type=cluster_pb2.Cluster.STATIC))
        for host in hosts
    )


@pytest.mark.parametrize("variant", VARIANTS)
async def test_an_envoy_with_a_token_and_no_certificate_is_served(
    variant, galley, by_oidc, ca, serve_mesh, tmp_path, reached
):
    async with serve_mesh(proofs=by_oidc, compile_class=one_cluster_for_each_service) as mesh:
        config = bootstrap(mesh.secure, variant)
        service = config["dynamic_resources"]["ads_config"]["grpc_services"][0]
        service["initial_metadata"] = [{"key": "authorization", "value": f"Bearer {await token_of(galley)}"}]
        config["static_resources"]["clusters"][0]["transport_socket"] = {
            "name": "tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {"validation_context": {"trusted_ca": {"inline_string": ca.root_pem.decode()}}},
            },
        }
        async with running_envoy(config, tmp_path) as envoy:
            await envoy.wait_live()
            await reached(lambda: any(one.complete for one in mesh.hub.engine.streams.values()))
            assert {one.proxy.identity for one in mesh.hub.engine.streams.values()} == {FRONT}
            receipt = await mesh.receipt(mesh.change(mesh.service("reviews")))
            assert (receipt["acked"], receipt["outstanding"]) == (1, ())


async def test_the_plaintext_port_asks_for_nothing_unless_it_is_told_to(galley, by_oidc, serve_mesh):
    """XDS_AUTH_PLAINTEXT."""
    good = bearer(await token_of(galley))
    async with serve_mesh(proofs=by_oidc) as mesh:
        for metadata in ([], good, bearer("x")):
            async with AdsClient(mesh.plaintext, sidecar(), metadata=metadata) as client:
                await client.until(lambda client=client: client.names(LISTENER_TYPE) == {"inbound"})
                assert {one.proxy.identity for one in mesh.hub.engine.streams.values()} == {""}
    async with serve_mesh(proofs=by_oidc, auth_plaintext=True) as mesh:
        async with AdsClient(mesh.plaintext, sidecar(), metadata=good) as client:
            await client.until(lambda: client.names(LISTENER_TYPE) == {"inbound"})
            assert {one.proxy.identity for one in mesh.hub.engine.streams.values()} == {FRONT}
        assert await refusal(mesh.plaintext, sidecar(), None, []) == ("UNAUTHENTICATED", REFUSED)


async def test_a_trusted_gateway_tells_who_its_client_is(root, serve_mesh):
    told = [("x-forwarded-client-cert", f"Hash=1;URI={FRONT}")]
    for network, served in (("127.0.0.0/8", True), ("10.0.0.0/8", False)):
        proofs = CallProofs("cluster.local", gateways=[ipaddress.ip_network(network)])
        async with serve_mesh(proofs=proofs) as mesh, AdsClient(mesh.secure, sidecar(), root, metadata=told) as client:
            await client.until(lambda client=client: client.ended or client.names(LISTENER_TYPE))
            assert (client.error is None) is served
            assert served or client.error.code() is grpc.StatusCode.UNAUTHENTICATED
