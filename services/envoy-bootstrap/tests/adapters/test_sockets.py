"""The agent's sockets: only its own user opens them, and what somebody leaves or takes away does not matter."""

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from envoy.service.secret.v3 import sds_pb2_grpc
from envoy_bootstrap.adapters.listening_sockets import ListeningSockets
from envoy_bootstrap.adapters.local_discovery import Discovery, KeptServer, SecretService
from envoy_bootstrap.core.secrets_resources import secrets_of
from meshcore.errors import MeshError
from meshcore.runtime import tasks
from meshcore.testing import addresses
from meshcore.testing.identity import make_ca
from meshcore.xds.types import SECRET_TYPE


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="mc-"))
    yield path
    shutil.rmtree(path)


def server_at(path: Path) -> KeptServer:
    secrets = Discovery()
    secrets.replace(secrets_of(make_ca().issue("spiffe://cluster.local/ns/shop/sa/front")))

    def register(server: Any) -> None:
        sds_pb2_grpc.add_SecretDiscoveryServiceServicer_to_server(SecretService(secrets), server)

    return KeptServer(path, register)


async def answers(path: Path) -> bool:
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        call = sds_pb2_grpc.SecretDiscoveryServiceStub(channel).DeltaSecrets()
        await call.write(
            discovery_pb2.DeltaDiscoveryRequest(type_url=SECRET_TYPE, resource_names_subscribe=["default"])
        )
        found = await asyncio.wait_for(call.read(), 60)
        call.cancel()
        return [one.name for one in found.resources] == ["default"]


async def test_a_socket_that_is_left_over_or_removed_is_made_again(directory: Path) -> None:
    """Attack 22."""
    path = directory / "sds.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    server = server_at(path)
    await server.start()
    try:
        assert path.stat().st_mode & 0o777 == 0o600
        assert await answers(path)
        async with tasks.background(server.keep(), name="keep"), asyncio.timeout(60):
            path.unlink()
            while True:
                if path.exists() and path.stat().st_mode & 0o777 == 0o600:
                    break
                await asyncio.sleep(0.05)
            assert await answers(path)
    finally:
        await server.stop()
    assert not path.exists()


async def test_attack_22_what_another_user_has_left_or_puts_there_is_replaced_or_told(directory: Path) -> None:
    """Root takes away whatever it finds; who may not do that in the directory says so, and serves nothing there."""
    path = directory / "sds.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    path.chmod(0o777)
    if os.geteuid() != 0:
        directory.chmod(0o500)
        with pytest.raises(MeshError, match="cannot listen on"):
            await server_at(path).start()
        directory.chmod(0o700)
    else:
        os.chown(path, 65534, 65534)
    server = server_at(path)
    await server.start()
    try:
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (os.geteuid(), 0o600)
        assert await answers(path)
        async with tasks.background(server.keep(), name="keep"), asyncio.timeout(60):
            path.unlink()
            with socket.socket(socket.AF_UNIX) as foreign:
                foreign.bind(str(path))
                path.chmod(0o666)
                while True:
                    if path.exists() and path.stat().st_mode & 0o777 == 0o600:
                        break
                    await asyncio.sleep(0.05)
            assert await answers(path)
    finally:
        await server.stop()
        left.close()


async def test_a_place_where_no_socket_can_be_is_told(directory: Path) -> None:
    """Attack 22."""
    path = directory / "absent" / "sds.sock"
    with pytest.raises(MeshError, match="cannot listen on"):
        await server_at(path).start()


def test_a_socket_that_is_handed_on_and_not_used_is_closed() -> None:
    with addresses.claim() as claim:
        host, before, after = claim.address(1), ListeningSockets(), ListeningSockets()
        for port in (15020, 15053):
            before.claim(str(port), host, port).close()
        after.inherit({name: os.dup(descriptor) for name, descriptor in before.descriptors.items()})
        with after.claim("15020", host, 15020):
            after.let_go()
            before.close()
            socket.create_connection((host, 15020)).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, 15053))
        after.close()
