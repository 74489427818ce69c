import asyncio

import grpc
import pytest
from citadel.adapters.secret_discovery import SERVICE_NAME
from citadel.core.trust_bundle import OTHERS_NAME, ROOT_NAME, bundle_resources
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from meshcore.testing.identity import make_ca
from meshcore.xds.types import SECRET_TYPE


def bundle_in(resource, name=ROOT_NAME) -> str:
    secret = secret_pb2.Secret.FromString(resource.value)
    assert secret.name == name
    return secret.validation_context.trusted_ca.inline_bytes.decode()


def test_the_resource_is_an_envoy_secret_with_the_bundle():
    packed = bundle_resources("one\ntwo\n").of_type(SECRET_TYPE)[ROOT_NAME]
    secret = secret_pb2.Secret.FromString(packed.body)
    expected = secret_pb2.Secret(name=ROOT_NAME)
    expected.validation_context.trusted_ca.inline_bytes = b"one\ntwo\n"
    assert secret == expected
    assert secret.SerializeToString(deterministic=True) == packed.body
    with_list = bundle_resources("one\n", "list\n").of_type(SECRET_TYPE)[ROOT_NAME]
    context = secret_pb2.Secret.FromString(with_list.body).validation_context
    assert (context.trusted_ca.inline_bytes, context.crl.inline_bytes) == (b"one\n", b"list\n")


async def test_delta_serves_the_bundle_and_pushes_its_change(in_force, citadel):
    root = (citadel.directory / "root-cert.pem").read_text()
    front = await citadel.identity_of("shop", "front")
    async with citadel.channel(identity=front) as channel, asyncio.timeout(60):
        call = channel.stream_stream(
            f"/{SERVICE_NAME}/DeltaSecrets",
            request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
        )()
        names = [ROOT_NAME, OTHERS_NAME, "default"]
        await call.write(discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, resource_names_subscribe=names))
        first = await call.read()
        assert [one.name for one in first.resources] == [ROOT_NAME, OTHERS_NAME]
        assert bundle_in(first.resources[0].resource) == root
        assert bundle_in(first.resources[1].resource, OTHERS_NAME) == ""
        await call.write(discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, response_nonce=first.nonce))
        foreign = make_ca("elsewhere")
        in_force().trust((foreign.certificate,))
        second = await call.read()
        assert [one.name for one in second.resources] == [OTHERS_NAME]
        assert bundle_in(second.resources[0].resource, OTHERS_NAME) == foreign.root_pem.decode()
        call.cancel()


async def test_state_of_the_world_serves_the_same(citadel):
    root = (citadel.directory / "root-cert.pem").read_text()
    async with citadel.channel("pilot") as channel, asyncio.timeout(60):
        call = channel.stream_stream(
            f"/{SERVICE_NAME}/StreamSecrets",
            request_serializer=discovery_pb2.DiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DiscoveryResponse.FromString,
        )()
        await call.write(discovery_pb2.DiscoveryRequest(resource_names=[ROOT_NAME]))
        answer = await call.read()
        assert bundle_in(answer.resources[0]) == root
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_a_token_does_not_open_the_secret_service(citadel):
    async with citadel.channel() as channel:
        call = channel.stream_stream(f"/{SERVICE_NAME}/DeltaSecrets")(
            metadata=[("authorization", f"Bearer {citadel.issuer.token()}")], timeout=60
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_other_types_are_refused(citadel):
    async with citadel.channel("pilot") as channel:
        call = channel.stream_stream(f"/{SERVICE_NAME}/DeltaSecrets")(timeout=60)
        await call.write(discovery_pb2.DeltaDiscoveryRequest(type_url="type.googleapis.com/x").SerializeToString())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
