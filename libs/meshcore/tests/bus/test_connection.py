from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
from pathlib import Path

import nats.errors
import pytest
from meshcore.bus.config_list import NobodyAnswers, chunks, request_list
from meshcore.bus.connection import Bus, BusSettings, connect
from meshcore.bus.subjects import CONFIG_BUCKET, CONFIG_LIST, bucket_permissions, feed_permissions, galley_permissions
from meshcore.bus.watch import BucketEntry, BucketWatch, Mark
from meshcore.distribution.digest import EMPTY_DIGEST
from meshcore.distribution.state_copy import StateCopy, encode_state
from meshcore.runtime import tasks
from meshcore.testing.addresses import claim
from meshcore.testing.identity import make_ca
from meshcore.testing.nats import PORT, NatsServer, nats_server
from meshcore.tls.identity import save_identity
from nats.aio.msg import Msg

DEADLINE = 60.0


def users(**permissions: object) -> str:
    entries = [
        f'{{ user: {name}, password: "{name}-secret", permissions: {json.dumps(allowed)} }}'
        for name, allowed in permissions.items()
    ]
    return f"authorization {{ users: [ {', '.join(entries)} ] }}"


def allowed(permissions: object) -> dict[str, list[str]]:
    return {"publish": list(permissions.publish), "subscribe": list(permissions.subscribe)}


def account(directory: Path, user: str, password: str | None = None) -> Path:
    path = directory / f"{user}.json"
    path.write_text(json.dumps({"user": user, "password": password or f"{user}-secret"}))
    return path


EMPTY = StateCopy("s", 1, 0, EMPTY_DIGEST, {})


async def answer(request: Msg) -> None:
    for headers, part in chunks(encode_state(EMPTY)):
        await request._client.publish(request.reply, part, headers=headers)


async def answered(bus: Bus) -> StateCopy:
    """The list, once the server knows of the subscription: the client's flush may overtake what is still buffered."""
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return await request_list(bus)
            except NobodyAnswers:
                await asyncio.sleep(0.01)


async def test_a_bus_waits_for_a_server_that_is_not_there_yet(tmp_path: Path):
    with claim() as block:
        server = NatsServer(tmp_path, block.address())
        async with connect(BusSettings(server.url)) as bus:
            waiting = asyncio.ensure_future(bus.connected())
            done, _ = await asyncio.wait({waiting}, timeout=0.3)
            assert not done
            assert not bus.is_connected
            await asyncio.to_thread(server.start)
            try:
                await asyncio.wait_for(waiting, DEADLINE)
                assert bus.is_connected
            finally:
                server.kill()


async def test_each_reconnection_is_told_once_and_counted(tmp_path: Path):
    with nats_server(tmp_path) as server:
        async with Bus(BusSettings(server.url)) as bus:
            await bus.connected()
            for generation in (1, 2):
                assert bus.generation == generation
                with bus.reconnections() as again:
                    server.kill()
                    await asyncio.to_thread(server.start)
                    await asyncio.wait_for(again.wait(), DEADLINE)
            await asyncio.wait_for(bus.connected(), DEADLINE)
            assert bus.generation == 3


async def test_a_closed_bus_says_so_to_whoever_waits(tmp_path: Path):
    with nats_server(tmp_path) as server:
        bus = Bus(BusSettings(server.url))
        await bus.connected()
        server.kill()
        while bus.is_connected:  # noqa: ASYNC110 - the client notices by itself
            await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(bus.connected())
        await asyncio.sleep(0)
        await bus.close()
        with pytest.raises(nats.errors.ConnectionClosedError):
            await asyncio.wait_for(waiting, DEADLINE)


async def test_a_bus_with_unsent_data_closes_whole_when_its_server_resets_every_connection(tmp_path: Path):
    resets = asyncio.Semaphore(0)

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        resets.release()

    with nats_server(tmp_path) as server:
        bus = Bus(BusSettings(server.url))
        await bus.connected()
        subscription = await bus.client.subscribe("news")
        server.kill()
        while bus.is_connected:  # noqa: ASYNC110 - the client notices by itself
            await asyncio.sleep(0.01)
        async with await asyncio.start_server(reset, server.address, PORT):
            for _ in range(2):
                await asyncio.wait_for(resets.acquire(), DEADLINE)
            await bus.client.publish("news", b"unsent")
            waiting = asyncio.ensure_future(subscription.next_msg(DEADLINE))
            await asyncio.sleep(0)
            await bus.close()
            with pytest.raises(nats.errors.ConnectionClosedError):
                await waiting


async def test_users_may_do_what_they_need_and_no_more(tmp_path: Path):
    config = users(
        galley=allowed(galley_permissions("galley")),
        injector=allowed(feed_permissions("injector")),
        pilot=allowed(feed_permissions("pilot") | bucket_permissions("pilot", "mesh-endpoints")),
    )
    with nats_server(tmp_path, config) as server:
        galley = Bus(BusSettings(server.url, account(tmp_path, "galley")))
        pilot = Bus(BusSettings(server.url, account(tmp_path, "pilot")))
        injector = Bus(BusSettings(server.url, account(tmp_path, "injector")))
        async with galley, pilot, injector:
            for bus in (galley, pilot, injector):
                await bus.connected()
            values = await galley.jetstream().create_key_value(bucket=CONFIG_BUCKET)
            await values.put("core.services.default.a", b"1")
            endpoints = await pilot.jetstream().create_key_value(bucket="mesh-endpoints")
            await endpoints.put("a", b"1")
            assert (await endpoints.get("a")).value == b"1"
            for reader in (pilot, injector):
                async with BucketWatch(reader, CONFIG_BUCKET) as watch:
                    item = await watch.next(DEADLINE)
                    assert isinstance(item, BucketEntry)
                    assert (item.key, item.value) == ("core.services.default.a", b"1")
                    assert await watch.next(DEADLINE) is Mark.LISTED
            await galley.client.subscribe(CONFIG_LIST, cb=answer)
            assert await answered(pilot) == EMPTY
            stolen = await pilot.jetstream().key_value(CONFIG_BUCKET)
            with pytest.raises((nats.errors.Error, TimeoutError)):
                await asyncio.wait_for(stolen.put("core.services.default.a", b"2"), 1)
            with pytest.raises((nats.errors.Error, TimeoutError)):
                await asyncio.wait_for(injector.jetstream().key_value("mesh-endpoints"), 1)
            assert (await values.get("core.services.default.a")).value == b"1"
            await injector.client.subscribe("_INBOX.pilot.>", cb=answer)
            async with asyncio.timeout(DEADLINE):
                # The client has no event for what the server says of a subscription.
                while "permissions violation" not in str(injector.client.last_error).lower():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


async def test_a_wrong_password_never_connects_and_is_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with nats_server(tmp_path, users(galley=allowed(galley_permissions("galley")))) as server:
        async with Bus(BusSettings(server.url, account(tmp_path, "galley", "not-the-password"))) as bus:
            with pytest.raises((TimeoutError, nats.errors.Error)):
                await asyncio.wait_for(bus.connected(), 1)
            assert not bus.is_connected
            assert "not-the-password" not in repr(bus) + capsys.readouterr().out


async def test_tls_is_used_and_the_server_must_be_one_of_our_root(tmp_path: Path):
    ours, other = make_ca(), make_ca()
    with claim() as block:
        save_identity(tmp_path, ours.issue(None, ips=[block.address()]))
        (tmp_path / "other-root.pem").write_bytes(other.root_pem)
        files = f'cert_file: "{tmp_path}/cert-chain.pem", key_file: "{tmp_path}/key.pem"'
        server = NatsServer(tmp_path / "nats", block.address(), f"tls {{ {files} }}")
        server.start()
        try:
            url = server.url.replace("nats://", "tls://")
            async with Bus(BusSettings(url, ca_file=tmp_path / "root-cert.pem")) as bus:
                await asyncio.wait_for(bus.connected(), DEADLINE)
                await bus.jetstream().create_key_value(bucket="things")
                with bus.reconnections() as again:
                    server.kill()
                    await asyncio.to_thread(server.start)
                    await asyncio.wait_for(again.wait(), DEADLINE)
            async with Bus(BusSettings(url, ca_file=tmp_path / "other-root.pem")) as stranger:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(stranger.connected(), 1)
        finally:
            server.kill()


async def test_a_client_that_the_server_refuses_is_followed_by_one_with_the_password_of_now(tmp_path: Path):
    with nats_server(tmp_path / "nats", users(pilot={"publish": [">"], "subscribe": [">"]})) as server:
        settings = BusSettings(server.url, user_file=account(tmp_path, "pilot"))
        async with connect(settings) as bus:
            await asyncio.wait_for(bus.connected(), DEADLINE)
            refused = bus.client
            file = server.directory / "nats.conf"
            file.write_text(file.read_text().replace("pilot-secret", "another-secret"))
            account(tmp_path, "pilot", "another-secret")
            server.send(signal.SIGHUP)
            await asyncio.wait_for(bus.replaced(refused), DEADLINE)
            await asyncio.wait_for(bus.connected(), DEADLINE)
            assert bus.client is not refused
            subscription = await bus.client.subscribe("news")
            await bus.client.publish("news", b"again")
            assert (await subscription.next_msg(DEADLINE)).data == b"again"


async def test_a_cancellation_that_an_attempt_hides_ends_the_attempts(monkeypatch: pytest.MonkeyPatch):
    """As `asyncio.wait_for` of Python 3.11 does when what it waits for has ended as well."""

    async def refused(*_: object, **__: object) -> None:
        waiting.cancel()
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "open_connection", refused)
    async with Bus(BusSettings("nats://127.0.0.1:1")) as bus:
        waiting = tasks.create_task(bus.connected(), name="connecting")
        await asyncio.wait({waiting}, timeout=DEADLINE)
        assert waiting.cancelled()
