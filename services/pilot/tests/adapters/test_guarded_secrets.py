"""Whom Pilot gives Secrets to: who is proven, what its config refers to, and nobody else."""

from types import MappingProxyType

import grpc
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.testing.ads_client import AdsClient, node
from meshcore.testing.identity import make_ca
from meshcore.xds.resource import ResourceSet
from meshcore.xds.secret_book import SecretState
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE, SECRET_TYPE
from witness import STREAMS

SECRET = "kubernetes://cert"


def with_a_secret(snapshot, proxy_class):
    return ResourceSet(MappingProxyType({}), (), frozenset({SECRET}))


async def test_attack_19_no_secret_is_had_on_the_plaintext_port(serve_mesh, workload_credentials):
    """The same node, once with the certificate of its workload and once with its word alone."""
    pair = make_ca().issue(None, dns=["shop.test"])
    who = node("a", "shop")
    async with serve_mesh(compile_class=with_a_secret) as mesh:
        mesh.hub.take_secret(("shop", "cert"), SecretState("1", {"tls.crt": pair.chain, "tls.key": pair.key.pem}))
        async with (
            AdsClient(mesh.secure, who, workload_credentials(), types=[SECRET_TYPE]) as proven,
            AdsClient(mesh.plaintext, who, types=[CLUSTER_TYPE]) as claimed,
        ):
            await proven.ask(SECRET_TYPE, [SECRET])
            await proven.until(lambda: proven.names(SECRET_TYPE))
            found = secret_pb2.Secret.FromString(proven.held[SECRET_TYPE][SECRET].body)
            assert found.tls_certificate.private_key.inline_bytes == pair.key.pem
            names = [SECRET, "kubernetes://shop/cert", "kubernetes://bank/cert", "default", "ROOTCA", "*"]
            await claimed.ask(SECRET_TYPE, names)
            await claimed.ask(LISTENER_TYPE)
            await claimed.until(lambda: any(one.type_url == LISTENER_TYPE for one in claimed.responses))
            mesh.hub.take_secret(("shop", "cert"), SecretState("2", {"tls.crt": pair.chain, "tls.key": pair.key.pem}))
            await mesh.receipt(mesh.change(mesh.service("reviews")))
            assert claimed.names(SECRET_TYPE) == set()
            assert not any(pair.key.pem in one.SerializeToString() for one in claimed.responses)
        async with grpc.aio.insecure_channel(mesh.plaintext, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.stream_stream(f"{STREAMS}/StreamAggregatedResources")()
            asked = discovery_pb2.DiscoveryRequest(node=who, type_url=SECRET_TYPE, resource_names=[SECRET])
            await call.write(asked.SerializeToString())
            answer = discovery_pb2.DiscoveryResponse.FromString(await call.read())
            assert (answer.type_url, list(answer.resources)) == (SECRET_TYPE, [])
            call.cancel()


async def test_attack_18_a_proven_proxy_has_the_secrets_that_its_config_refers_to_and_no_other(
    serve_mesh, workload_credentials
):
    """Names of another namespace, that climb, of too many parts, of none: passed over, and what is its own comes."""
    one, two = (make_ca().issue(None, dns=["shop.test"]) for _ in range(2))
    odd = [
        "kubernetes://bank/cert",
        "kubernetes-gateway://bank/cert",
        "kubernetes-gateway://shop/cert",
        "kubernetes://../bank/cert",
        "kubernetes://shop/../bank/cert",
        "kubernetes://",
        "kubernetes://a/b/c",
        "configmap://bank/roots",
        "invalid://",
        "file-cert:/etc/shadow~/etc/shadow",
        "",
        "x" * 100_000,
    ]
    async with serve_mesh(compile_class=with_a_secret) as mesh:

        def take(version, pair):
            for space in ("bank", "shop"):
                data = {"tls.crt": pair.chain, "tls.key": pair.key.pem}
                mesh.hub.take_secret((space, "cert"), SecretState(version, data))

        take("1", one)
        async with AdsClient(mesh.secure, node("a", "shop"), workload_credentials(), types=[SECRET_TYPE]) as client:
            await client.ask(SECRET_TYPE, [*odd, SECRET])
            await client.until(lambda: SECRET in client.names(SECRET_TYPE))
            take("2", two)
            await client.until(lambda: two.key.pem in client.held[SECRET_TYPE][SECRET].body)
            assert client.names(SECRET_TYPE) == {SECRET}
            assert mesh.hub.engine.wanted_secrets().keys() == {("shop", "cert")}
