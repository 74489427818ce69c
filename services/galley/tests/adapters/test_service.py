"""The whole service as its settings say: every port it opens answers, the closed one stays closed."""

import asyncio
import ssl

import grpc
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from galley.__main__ import build
from galley.settings import GalleySettings, without_options
from meshcore._generated.istio.mcp.v1alpha1 import mcp_pb2, mcp_pb2_grpc
from meshcore.errors import MeshError
from meshcore.runtime import running
from meshcore.testing.addresses import claim
from meshcore.testing.identity import make_ca, write_identity
from meshcore.tls import grpc_channel_credentials

PILOT = "spiffe://cluster.local/ns/istio-system/sa/pilot"


@pytest.fixture
def address():
    with claim() as block:
        yield block.address(1)


def settings_of(tmp_path, address, ca, **more):
    directory = write_identity(
        tmp_path / "identity", ca.issue("spiffe://cluster.local/ns/istio-system/sa/galley", ips=[address])
    )
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "token-signing-key.pem").write_bytes(pem)
    state = tmp_path / "state"
    state.mkdir()
    return GalleySettings(
        host=address, admin_host=address, identity_dir=directory, state_dir=state, nats_url=None, **more
    )


async def test_webhook_and_mcp_are_served_and_mcp_over_xds_is_not(tmp_path, address):
    ca, operators = make_ca(), make_ca("the operator's")
    shown = operators.issue(None, ips=[address])
    (tmp_path / "tls.crt").write_bytes(shown.chain)
    (tmp_path / "tls.key").write_bytes(shown.key.pem)
    trust = ssl.create_default_context(cadata=operators.root_pem.decode())
    mtls = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "a"}, "spec": {}}
    request = {"uid": "u", "operation": "CREATE", "namespace": "shop", "object": mtls}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    async with running(settings_of(tmp_path, address, ca, serving_certificate=tmp_path), build) as runtime:
        async with httpx.AsyncClient(verify=trust, timeout=60) as client:
            answer = (await client.post(f"https://{address}:15017/validate", json=review)).json()
            assert answer["response"] == {"uid": "u", "allowed": True}
            metrics = (await client.get(f"http://{address}:15014/metrics")).text
            assert "galley_validation_passed{" in metrics
        credentials = grpc_channel_credentials(ca.issue(PILOT))
        async with grpc.aio.secure_channel(f"{address}:9901", credentials) as channel, asyncio.timeout(60):
            call = mcp_pb2_grpc.ResourceSourceStub(channel).EstablishResourceStream()
            await call.write(mcp_pb2.RequestResources(collection="istio/networking/v1alpha3/gateways"))
            assert (await call.read()).collection == "istio/networking/v1alpha3/gateways"
        assert "mcp-xds" not in runtime.ports
        with pytest.raises(OSError, match="9902"):
            await asyncio.open_connection(address, 9902)


async def test_an_access_list_that_cannot_be_read_stops_the_start(tmp_path, address):
    with pytest.raises(BaseExceptionGroup) as caught:
        async with running(settings_of(tmp_path, address, make_ca(), mcp_xds_allow="everybody"), build):
            pytest.fail("it started")
    (error,) = caught.value.exceptions
    assert isinstance(error, MeshError)
    assert "CIDR" in error.detail


def test_options_become_settings():
    environment = {"GALLEY_SINK_ADDRESS": "old:1"}
    arguments = [
        "--mcp-xds-allow",
        "10.0.0.0/8",
        "--print-settings",
        "--mcp-xds-allow=fd00::/8",
        "--sink-address=new:2",
    ]
    assert without_options(arguments, environment) == ["--print-settings"]
    assert environment == {"GALLEY_SINK_ADDRESS": "new:2", "GALLEY_MCP_XDS_ALLOW": "10.0.0.0/8,fd00::/8"}
