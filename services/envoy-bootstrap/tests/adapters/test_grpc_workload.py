"""What an agent does for an application that has no proxy, or that wants its certificate as files."""

import json
import stat
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from meshcore.tls import load_identity

FILES = {"cert-chain.pem", "key.pem", "root-cert.pem"}


def private_files(folder: Path) -> set[str]:
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    return {path.name for path in folder.iterdir()}


async def test_a_workload_without_a_proxy_has_a_bootstrap_and_a_way_to_pilot(mesh: Any) -> None:
    file = mesh.directory / "bare" / "grpc" / "bootstrap.json"
    workload = await mesh.start_workload("bare", 1, DISABLE_ENVOY="true", GRPC_XDS_BOOTSTRAP=str(file))
    await mesh.until(file.exists, "the bootstrap")
    document = json.loads(file.read_text())
    assert document["node"]["metadata"]["GENERATOR"] == "grpc"
    assert document["server_listener_resource_name_template"] == "xds.istio.io/grpc/lds/inbound/%s"
    [source] = document["xds_servers"]
    assert source["server_uri"] == f"unix://{workload.state}/XDS"
    watched = document["certificate_providers"]["default"]["config"]
    assert watched["certificate_file"] == f"{workload.state}/certs/cert-chain.pem"
    assert private_files(workload.state / "certs") == FILES
    assert (await workload.get(15020, "/healthz/ready")).status_code == 200
    await mesh.until(lambda: "healthy" in mesh.pilot.said.get("bare", []), "bare reported healthy")
    async with grpc.aio.insecure_channel(source["server_uri"]) as channel:
        call = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources()
        request = discovery_pb2.DeltaDiscoveryRequest(type_url="x")
        request.node.id = f"sidecar~{workload.ip}~passed-on.shop~shop.svc.cluster.local"
        request.node.metadata["GENERATOR"] = "grpc"
        await call.write(request)
        assert (await call.read()).nonce, "Pilot answers on the other side"
        assert "opened" in mesh.pilot.said["passed-on"]
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
    assert await workload.terminate() == 0
    assert not (workload.state / "XDS").exists()


async def test_a_renewed_certificate_is_written_too(mesh: Any) -> None:
    folder = mesh.directory / "out"
    await mesh.start_ready("front", 1, OUTPUT_CERTS=str(folder), SECRET_TTL="4s")
    serials = set()

    def seen() -> bool:
        serials.add(x509.load_pem_x509_certificate(load_identity(folder).chain).serial_number)
        return len(serials) > 1

    await mesh.until(seen, "another certificate")
    assert private_files(folder) >= FILES
