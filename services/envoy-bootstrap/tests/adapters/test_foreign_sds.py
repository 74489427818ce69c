"""Certificates that somebody else gives on the workload's socket: Envoy takes those, the agent serves files only."""

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import discovery_pb2
from envoy.service.secret.v3 import sds_pb2_grpc
from envoy_bootstrap.adapters.foreign_sds import find_foreign_sds
from envoy_bootstrap.adapters.local_discovery import Discovery, SecretService, start_server, stop_server
from envoy_bootstrap.core.secrets_resources import secrets_of
from meshcore.errors import ErrorCode, MeshError
from meshcore.testing.identity import TestCa, make_ca
from meshcore.xds.types import SECRET_TYPE

from .test_mounted_certificate import connected
from .test_traffic import Traffic, client_resources, running, server_resources

UDS = "var/run/secrets/workload-spiffe-uds"


@asynccontextmanager
async def foreign_agent(ca: TestCa, root: Path, name: str, file: str = "socket") -> AsyncIterator[None]:
    """Gives a workload the identity that this authority has for it."""
    folder = root / UDS
    folder.mkdir(parents=True)
    secrets = Discovery()
    secrets.replace(secrets_of(ca.issue(f"spiffe://cluster.local/ns/shop/sa/{name}")))

    def register(server: Any) -> None:
        sds_pb2_grpc.add_SecretDiscoveryServiceServicer_to_server(SecretService(secrets), server)

    place = folder / file
    server = await start_server(place, register)
    try:
        yield
    finally:
        await stop_server(server, place)


async def test_a_foreign_identity_is_for_peers_and_the_meshs_for_pilot(mesh: Any, make_resource: Any) -> None:
    foreign = make_ca("spire")
    client_ip, server_ip = mesh.claim.address(11), mesh.claim.address(12)
    mesh.pilot.resources["client"] = client_resources(make_resource, client_ip, server_ip)
    mesh.pilot.resources["server"] = server_resources(make_resource, server_ip)
    places = [mesh.directory / name for name in ("c", "s")]
    async with (
        foreign_agent(foreign, places[0], "client"),
        foreign_agent(foreign, places[1], "server", file="own.sock"),
    ):
        client, server = await asyncio.gather(
            mesh.start_ready("client", 1, root=places[0]),
            mesh.start_ready("server", 2, root=places[1], WORKLOAD_IDENTITY_SOCKET_FILE="own.sock"),
        )
        async with running(Traffic(f"http://{client.ip}:15002/")) as traffic:
            await mesh.until(lambda: traffic.answered > 20, "traffic between foreign identities")
        async with connected(foreign, server.ip) as caller:
            assert await caller.get() == "HTTP/1.1 200 OK", "the foreign root vouches for the server and its callers"
        await only_files(places[0], mesh.directory / "root-cert.pem")
    assert traffic.failures == []
    assert traffic.callers == {"spiffe://cluster.local/ns/shop/sa/client"}
    assert mesh.citadel.issued == 2, "Pilot is dialled with the mesh's own"
    assert {node.metadata["file-credential"] for node in mesh.pilot.nodes.values()} == {"true"}


async def only_files(root: Path, file: Path) -> None:
    place = root / "var/run/secrets/credential-uds/files-socket"
    name = f"file-root:{file}"
    async with grpc.aio.insecure_channel(f"unix:{place}") as channel:
        call = sds_pb2_grpc.SecretDiscoveryServiceStub(channel).DeltaSecrets()
        await call.write(
            discovery_pb2.DeltaDiscoveryRequest(
                type_url=SECRET_TYPE, resource_names_subscribe=["default", "ROOTCA", name, "file-root:system"]
            )
        )
        got = {}
        while len(got) < 2:
            async with asyncio.timeout(60):
                got |= {item.name: item.resource.value for item in (await call.read()).resources}
    assert got.keys() == {name, "file-root:system"}
    secret = secret_pb2.Secret.FromString(got[name])
    assert secret.validation_context.trusted_ca.inline_bytes == file.read_bytes()


async def test_a_left_over_socket_is_removed_and_the_meshs_identity_used(mesh: Any, make_resource: Any) -> None:
    place = mesh.directory / "c" / UDS / "socket"
    place.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(place))
    workload = await mesh.start_ready("client", 1, root=mesh.directory / "c")
    assert not place.exists()
    assert "sds-files-grpc" not in await workload.admin("/clusters")
    assert mesh.citadel.issued == 1


async def test_another_name_that_nobody_answers_on_ends_the_agent(mesh: Any) -> None:
    workload = await mesh.start_workload("client", 1, root=mesh.directory, WORKLOAD_IDENTITY_SOCKET_FILE="spire.sock")
    async with asyncio.timeout(60):
        assert await workload.process.wait() == 2
    assert "WORKLOAD_IDENTITY_SOCKET_FILE: nobody answers on the socket" in workload.log.read_text()


@pytest.fixture
def folder() -> Any:
    with tempfile.TemporaryDirectory(prefix="mc-") as made:
        yield Path(made)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_who_speaks_no_http_2_is_nobody(folder: Path, said: bytes) -> None:
    place = folder / "spire.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1)
                connection.sendall(said)

        with ThreadPoolExecutor() as another:
            another.submit(answer)
            with pytest.raises(MeshError) as caught:
                find_foreign_sds("spire.sock", folder)
    assert caught.value.code is ErrorCode.FAILED_PRECONDITION
    assert not place.exists()


def test_what_is_no_socket_stays_where_it_is(folder: Path) -> None:
    (folder / "socket").write_text("a file")
    assert find_foreign_sds("socket", folder) == ""
    assert (folder / "socket").read_text() == "a file"
