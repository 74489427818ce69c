"""Who may open a stream on the mTLS port, and how long it lasts."""

import contextlib
import ipaddress
from dataclasses import replace
from datetime import timedelta

import grpc
import pytest
from meshcore.authentication.call_proofs import CallProofs
from meshcore.testing.ads_client import AdsClient, node
from meshcore.testing.authorities import Authority, crl_pem, issue_below, make_authority
from meshcore.testing.identity import make_ca
from meshcore.tls import ServiceIdentity, grpc_channel_credentials
from meshcore.xds.types import CLUSTER_TYPE, LISTENER_TYPE
from pilot.adapters.client_authentication import REFUSED


async def test_a_certificate_of_the_nodes_workload_is_served(secure_mesh, workload_credentials):
    async with AdsClient(secure_mesh.secure, node("a", "shop"), workload_credentials()) as client:
        await client.until(lambda: client.names(LISTENER_TYPE) == {"inbound"})


async def test_a_node_of_another_namespace_is_refused_and_nobody_else_disturbed(secure_mesh, workload_credentials):
    """Attack 42."""
    async with AdsClient(secure_mesh.secure, node("a", "shop"), workload_credentials()) as honest:
        await honest.until(lambda: honest.names(LISTENER_TYPE))
        async with AdsClient(secure_mesh.secure, node("b", "bank"), workload_credentials()) as liar:
            await liar.until(lambda: liar.ended)
        assert liar.error.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "claims namespace bank, it is proven to be of shop" in liar.error.details()
        assert liar.responses == []
        receipt = await secure_mesh.receipt(secure_mesh.change(secure_mesh.service("reviews")))
        assert (receipt["count"], receipt["acked"]) == (1, 1)


async def test_a_node_of_another_service_account_is_refused(secure_mesh, workload_credentials):
    who = node("a", "shop", service_account="admin")
    async with AdsClient(secure_mesh.secure, who, workload_credentials()) as client:
        await client.until(lambda: client.ended)
        assert client.error.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_certificate_of_another_root_does_not_connect(secure_mesh, ca):
    foreign = make_ca().issue("spiffe://cluster.local/ns/shop/sa/default")
    credentials = grpc_channel_credentials(ServiceIdentity(foreign.key, foreign.chain, ca.root_pem))
    async with AdsClient(secure_mesh.secure, node("a", "shop"), credentials) as client:
        await client.until(lambda: client.ended)
        assert client.error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_revoked_certificate_opens_no_stream(serve_mesh, ca):
    """Attack 17."""
    stolen, good = (ca.issue("spiffe://cluster.local/ns/shop/sa/default") for _ in range(2))
    lists = crl_pem(Authority("root", ca.key, ca.certificate), [stolen.certificate.serial_number])
    async with serve_mesh() as mesh:
        mesh.identity.replace(replace(mesh.identity.current, revoked=lists))
        async with AdsClient(mesh.secure, node("a", "shop"), grpc_channel_credentials(stolen)) as client:
            await client.until(lambda: client.ended)
            assert client.error.code() is grpc.StatusCode.UNAUTHENTICATED
            assert client.error.details() == REFUSED
        async with AdsClient(mesh.secure, node("b", "shop"), grpc_channel_credentials(good)) as client:
            await client.until(lambda: client.names(LISTENER_TYPE) == {"inbound"})


@pytest.mark.parametrize("optional", [False, True])
async def test_an_open_stream_ends_when_its_certificate_is_revoked_or_one_above_it(serve_mesh, ca, optional):
    """Attack 17. Once where a certificate is demanded, once where it is asked for."""
    stolen, good = (ca.issue("spiffe://cluster.local/ns/shop/sa/default") for _ in range(2))
    authority = Authority("root", ca.key, ca.certificate)
    between = make_authority("between", authority)
    below = issue_below(between, ca, "spiffe://cluster.local/ns/shop/sa/default")
    proofs = CallProofs("cluster.local", gateways=[ipaddress.ip_network("192.0.2.0/24")]) if optional else None
    async with serve_mesh(proofs=proofs) as mesh, contextlib.AsyncExitStack() as opened:
        clients = {}
        for name, identity in (("stolen", stolen), ("good", good), ("below", below)):
            credentials = grpc_channel_credentials(identity)
            client = AdsClient(mesh.secure, node(name, "shop"), credentials)
            clients[name] = await opened.enter_async_context(client)
            await client.until(lambda client=client: client.names(LISTENER_TYPE) == {"inbound"})
        for name, serial in (
            ("stolen", stolen.certificate.serial_number),
            ("below", between.certificate.serial_number),
        ):
            lists = crl_pem(authority, [serial])
            mesh.identity.replace(replace(mesh.identity.current, revoked=lists))
            await clients[name].until(lambda name=name: clients[name].ended)
            assert clients[name].error.code() is grpc.StatusCode.UNAUTHENTICATED
        await mesh.receipt(mesh.change(mesh.service("reviews")))
        assert clients["good"].names(CLUSTER_TYPE)


async def test_a_certificate_of_an_alias_of_the_trust_domain_is_served(secure_mesh, ca):
    old = grpc_channel_credentials(ca.issue("spiffe://old.example/ns/shop/sa/default"))
    async with AdsClient(secure_mesh.secure, node("a", "shop"), old) as client:
        await client.until(lambda: client.ended)
        assert client.error.code() is grpc.StatusCode.PERMISSION_DENIED
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio", "namespace": "istio-system"}}
    secure_mesh.change({**config, "data": {"mesh": "trustDomainAliases: [old.example]"}})
    async with AdsClient(secure_mesh.secure, node("a", "shop"), old) as client:
        await client.until(lambda: client.names(LISTENER_TYPE) == {"inbound"})


async def test_a_node_that_cannot_be_read_is_an_invalid_argument(mesh):
    who = node("a", "shop")
    who.id = "nonsense"
    async with AdsClient(mesh.plaintext, who) as client:
        await client.until(lambda: client.ended)
        assert client.error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "nonsense" in client.error.details()


async def test_a_stream_ends_with_its_certificate(secure_mesh, workload_credentials):
    for life in (2, 10, 30):  # the first may be over before a busy machine has connected
        credentials = workload_credentials(ttl=timedelta(seconds=life))
        async with AdsClient(secure_mesh.secure, node("a", "shop"), credentials) as client:
            await client.until(lambda client=client: client.ended)
        if client.names(LISTENER_TYPE):
            break
    assert client.names(LISTENER_TYPE)
    assert client.error is None


async def test_a_stream_ends_at_its_age(serve_mesh):
    for age in ("500ms", "5s", "30s"):  # the first may be over before a busy machine has served it
        async with serve_mesh(stream_max_age=age) as mesh, AdsClient(mesh.plaintext, node("a", "shop")) as client:
            await client.until(lambda client=client: client.ended)
        assert client.error is None
        if client.names(LISTENER_TYPE):
            break
    assert client.names(LISTENER_TYPE)


async def test_plaintext_is_not_offered_beyond_loopback(serve_mesh):
    async with serve_mesh(host="0.0.0.0", plaintext_host="0.0.0.0") as mesh:
        assert mesh.servers.plaintext_port == 0
        assert mesh.servers.secure_port > 0
