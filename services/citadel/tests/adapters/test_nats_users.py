import asyncio
import contextlib
import json
import socket
import ssl
from datetime import timedelta
from pathlib import Path

import nats
import nats.errors
import pytest
from citadel.adapters.first_start import InitOptions, initialise
from citadel.core.members import Installation, InstallProfile
from citadel.core.nats_config import NatsServer as NatsSettings
from citadel.core.nats_config import render_nats_config
from meshcore.bus.connection import BusSettings, connect
from meshcore.bus.subjects import inbox_prefix
from meshcore.testing.addresses import claim
from meshcore.testing.nats import NatsServer
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.api import KeyValueConfig

TTL = timedelta(days=3650)
SERVICES = ("galley", "pilot", "citadel", "injector")
PASSWORDS = {service: f"{service}-password" for service in SERVICES}


def server_from(directory: Path, address: str, **tls: str) -> NatsServer:
    server = NatsServer(directory, address)
    settings = NatsSettings(address, address, str(directory / "jetstream"), **tls)
    (directory / "nats.conf").write_text(render_nats_config(settings, PASSWORDS))
    return server


async def user(url: str, name: str, errors: "asyncio.Queue[str]") -> nats.NATS:
    async def note(error: Exception) -> None:
        errors.put_nowait(str(error).lower())

    return await nats.connect(
        url,
        user=name,
        password=PASSWORDS[name],
        inbox_prefix=inbox_prefix(name).encode(),
        error_cb=note,
        max_reconnect_attempts=0,
        connect_timeout=60,
    )


async def assert_denied(errors: "asyncio.Queue[str]", subject: str) -> None:
    error = await asyncio.wait_for(errors.get(), 60)
    assert "permissions violation" in error
    assert f'"{subject.lower()}"' in error


async def answered(client: nats.NATS, subject: str) -> Msg:
    """The answer to a request. Now and then the server says that nobody listens though a flush has come back to the
    listener: it is asked again."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(NoRespondersError):
                return await client.request(subject, b"", timeout=60)
            await asyncio.sleep(0.01)


async def test_nats_users_can_do_their_work_and_nothing_else(tmp_path):
    """Attack 47: config from anybody but Galley, registrations from anybody but Pilot."""
    with claim() as block:
        server = server_from(tmp_path, block.address())
        server.start()
        errors: asyncio.Queue[str] = asyncio.Queue()
        clients = {name: await user(server.url, name, errors) for name in SERVICES}
        try:
            stores = {name: client.jetstream(timeout=60) for name, client in clients.items()}
            bucket = await stores["galley"].create_key_value(KeyValueConfig(bucket="mesh-config"))
            await bucket.put("core.configmaps.istio-system.istio", b"{}")
            endpoints = await stores["pilot"].create_key_value(KeyValueConfig(bucket="mesh-endpoints"))
            revision = await endpoints.put("one", b"1")
            await endpoints.update("one", b"2", last=revision)
            await endpoints.delete("one")
            for reader in ("pilot", "citadel", "injector"):
                seen = await stores[reader].key_value("mesh-config")
                watcher = await seen.watchall()
                entry = await watcher.updates(timeout=60)
                assert entry.value == b"{}"
                await watcher.stop()
            asked = await clients["galley"].subscribe("mesh.config.list")
            await clients["galley"].flush()
            pending = asyncio.ensure_future(answered(clients["citadel"], "mesh.config.list"))
            await clients["galley"].publish((await asked.next_msg(timeout=60)).reply, b"all of it")
            assert (await pending).data == b"all of it"
            queries = await clients["pilot"].subscribe("pilot.query.>")
            await clients["pilot"].flush()
            pending = asyncio.ensure_future(answered(clients["pilot"], "pilot.query.syncz"))
            await (await queries.next_msg(timeout=60)).respond(b"mine")
            assert (await pending).data == b"mine"
            assert errors.empty()

            forbidden = {
                "$KV.mesh-config.core.configmaps.istio-system.istio": ("pilot", "citadel", "injector"),
                "$JS.API.STREAM.DELETE.KV_mesh-config": ("pilot", "citadel", "injector"),
                "$JS.API.STREAM.PURGE.KV_mesh-config": ("pilot", "citadel", "injector"),
                "$JS.API.STREAM.UPDATE.KV_mesh-config": ("pilot", "citadel", "injector"),
                "$JS.API.STREAM.MSG.DELETE.KV_mesh-config": ("pilot", "citadel", "injector"),
                "$JS.API.STREAM.RESTORE.KV_mesh-config": ("pilot", "citadel", "injector"),
                "$JS.API.STREAM.PURGE.KV_mesh-endpoints": ("galley", "citadel", "injector"),
                "$JS.API.ACCOUNT.PURGE.x": SERVICES,
                "_INBOX.pilot.x": ("citadel", "injector"),
                "_INBOX.citadel.x": ("pilot", "injector"),
                "$JS.API.STREAM.CREATE.other": SERVICES,
                "$KV.mesh-endpoints.one": ("galley", "citadel", "injector"),
                "pilot.query.syncz": ("galley", "citadel", "injector"),
            }
            for subject, names in forbidden.items():
                for name in names:
                    await clients[name].publish(subject, b"x")
                    await assert_denied(errors, subject)
            for subject in ("_INBOX.pilot.>", "_INBOX.>", "$KV.mesh-config.>", ">"):
                await clients["citadel"].subscribe(subject)
                await assert_denied(errors, subject)
            assert (await bucket.get("core.configmaps.istio-system.istio")).value == b"{}"
        finally:
            for client in clients.values():
                await client.close()
            server.kill()


async def test_nobody_connects_without_a_password(tmp_path):
    """Attack 47."""
    with claim() as block:
        server = server_from(tmp_path, block.address())
        server.start()
        try:
            for account in ({}, {"user": "pilot", "password": "wrong"}):
                with pytest.raises(nats.errors.Error):
                    await connect_once(server.url, **account)
        finally:
            server.kill()


async def connect_once(url: str, **more) -> None:
    async def silent(_: Exception) -> None:
        return None

    client = nats.NATS()
    try:
        await client.connect(url, max_reconnect_attempts=0, allow_reconnect=False, error_cb=silent, **more)
    finally:
        await client.close()


async def test_beyond_one_machine_nats_speaks_tls_with_the_meshs_own_certificate(tmp_path):
    identity = tmp_path / "identity"
    with claim() as block:
        names = {"nats": (block.address(),)}
        installation = Installation("cluster.local", stack=7, profile=InstallProfile.COMPOSE, extra_names=names)
        await initialise(InitOptions(identity, installation, TTL))
        own = identity / "nats"
        server = NatsServer(tmp_path / "nats", block.address())
        settings = NatsSettings(
            block.address(),
            block.address(),
            str(tmp_path / "nats" / "jetstream"),
            certificate=str(own / "cert-chain.pem"),
            key=str(own / "key.pem"),
            root=str(own / "root-cert.pem"),
        )
        accounts = {
            service: json.loads((identity / service / "nats-user.json").read_text())["password"] for service in SERVICES
        }
        (tmp_path / "nats" / "nats.conf").write_text(render_nats_config(settings, accounts))
        server.start()
        try:
            bus_settings = BusSettings(
                url=server.url.replace("nats://", "tls://"),
                user_file=identity / "galley" / "nats-user.json",
                ca_file=identity / "root-cert.pem",
            )
            async with connect(bus_settings) as bus, asyncio.timeout(60):
                await bus.connected()
                await bus.jetstream().create_key_value(KeyValueConfig(bucket="mesh-config"))
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.to_thread(handshake, block.address(), ssl.create_default_context())
        finally:
            server.kill()


def handshake(address: str, context: ssl.SSLContext) -> None:
    with socket.create_connection((address, 4222), timeout=60) as connection:
        assert connection.recv(4096).startswith(b"INFO ")
        with context.wrap_socket(connection, server_hostname=address):
            pass
