import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nats
import nats.errors
import pytest
from citadel.adapters import first_start
from citadel.adapters.database import open_database
from citadel.adapters.first_start import InitOptions, initialise
from citadel.adapters.init_command import init
from citadel.adapters.root_store import RootStore
from citadel.core.members import Installation, InstallProfile
from citadel.core.nats_config import NatsServer as NatsSettings
from citadel.core.nats_config import render_nats_config
from citadel.core.sealing import parse_keks
from cryptography import x509
from meshcore.bus.connection import BusSettings, connect
from meshcore.bus.subjects import inbox_prefix
from meshcore.errors import MeshError
from meshcore.http import Credentials, Role, TokenAuthenticator
from meshcore.testing import openssl
from meshcore.testing.addresses import claim
from meshcore.testing.nats import NatsServer
from meshcore.tls import identity as identity_module
from meshcore.tls import load_identity
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.api import KeyValueConfig

TTL = timedelta(days=3650)
SERVICES = ("galley", "pilot", "citadel", "injector")


def options(directory: Path, **changes) -> InitOptions:
    installation = Installation("cluster.local", stack=changes.pop("stack", 7), **changes.pop("installation", {}))
    return InitOptions(directory, installation, TTL, **changes)


def contents(directory: Path) -> dict[str, bytes]:
    ignored = ("citadel.db", ".init.lock")
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(ignored)
    }


def host_names(directory: Path) -> set[str]:
    names = load_identity(directory).certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


async def test_everything_that_the_contract_names_is_there_and_private(tmp_path):
    directory = tmp_path / "identity"
    await initialise(options(directory, state_keys=("shop.front",)))
    for service in (*SERVICES, "meshctl"):
        identity = load_identity(directory / service)
        assert str(identity.spiffe) == f"spiffe://cluster.local/ns/istio-system/sa/{service}"
        root = (directory / "root-cert.pem").read_text()
        openssl.accepts(identity.chain.decode(), identity.key.pem.decode(), root)
    assert {"pilot.istio-system.svc", "istiod.istio-system.svc", "localhost", "127.7.255.2", "127.7.255.12"} <= (
        host_names(directory / "pilot")
    )
    assert "127.7.255.1" in host_names(directory / "galley")
    for path in directory.rglob("*"):
        mode = path.stat().st_mode & 0o777
        expected = 0o700 if path.is_dir() else {"root-cert.pem": 0o644, "shop.front.key": 0o400}.get(path.name, 0o600)
        if path.name == "root-cert.pem" and path.parent != directory:
            expected = 0o600
        assert mode == expected, path
    assert len((directory / "state-keys" / "shop.front.key").read_bytes()) == 32
    database = (directory / "citadel" / "citadel.db").read_bytes()
    assert b"PRIVATE KEY" not in database


async def test_tokens_are_stored_hashed_with_their_roles(tmp_path):
    await initialise(options(tmp_path))
    galley = TokenAuthenticator(tmp_path / "galley" / "tokens.json")

    async def caller(name: str):
        return await galley.authenticate(Credentials(token=(tmp_path / name).read_text()))

    assert (await caller("admin-token")).allows(Role.ADMIN)
    status = await caller("pilot/status-token")
    assert status.allows(Role.STATUS_WRITER)
    assert status.allows(Role.REGISTRAR)
    assert not status.allows(Role.VIEWER)
    reader = await caller("citadel/galley-token")
    assert reader is not None
    assert not any(reader.allows(role) for role in Role)
    pilot = TokenAuthenticator(tmp_path / "pilot" / "tokens.json")
    assert await pilot.authenticate(Credentials(token=(tmp_path / "pilot/status-token").read_text())) is None
    asker = await pilot.authenticate(Credentials(token=(tmp_path / "galley/pilot-token").read_text()))
    assert asker is not None
    assert asker.allows(Role.VIEWER)
    assert not asker.allows(Role.EDITOR)
    hashed = (tmp_path / "galley" / "tokens.json").read_text()
    for name in ("admin-token", "pilot/status-token", "citadel/galley-token"):
        assert (tmp_path / name).read_text() not in hashed


async def test_a_second_run_writes_nothing(tmp_path):
    assert await initialise(options(tmp_path))
    before = contents(tmp_path)
    assert await initialise(options(tmp_path)) == ()
    assert contents(tmp_path) == before


class Killed(BaseException):
    pass


async def test_killed_before_any_of_its_writes_the_next_run_completes(tmp_path, monkeypatch):
    complete = tmp_path / "complete"
    await initialise(options(complete))
    names = set(contents(complete))
    write = identity_module.write_private
    last = False
    for count in range(1000):
        directory = tmp_path / f"killed-{count}"
        left = count

        def write_or_die(path, content, mode=0o600):
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            write(path, content, mode)

        with monkeypatch.context() as patched:
            patched.setattr(identity_module, "write_private", write_or_die)
            patched.setattr("citadel.adapters.private_files.write_private", write_or_die)
            try:
                await initialise(options(directory))
                last = True
            except Killed:
                root = directory / "root-cert.pem"
                before = root.read_bytes() if root.exists() else None
        await initialise(options(directory))
        assert set(contents(directory)) == names
        assert await initialise(options(directory)) == ()
        if last:
            break
        assert before in (None, (directory / "root-cert.pem").read_bytes())
    assert count > 30


async def test_what_is_broken_old_or_for_other_names_is_made_again(tmp_path, monkeypatch):
    await initialise(options(tmp_path))
    (tmp_path / "pilot" / "key.pem").write_bytes((tmp_path / "galley" / "key.pem").read_bytes())
    (tmp_path / "injector" / "cert-chain.pem").unlink()
    (tmp_path / "citadel" / "root-cert.pem").write_text("")
    assert await initialise(options(tmp_path)) == (
        "pilot/cert-chain.pem",
        "citadel/cert-chain.pem",
        "injector/cert-chain.pem",
    )
    extra = {"installation": {"extra_names": {"galley": ("config.example",)}}}
    assert await initialise(options(tmp_path, **extra)) == ("galley/cert-chain.pem",)
    assert "config.example" in host_names(tmp_path / "galley")

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=16)

    monkeypatch.setattr(first_start, "datetime", Later)
    assert len(await initialise(options(tmp_path, **extra))) == 5


async def test_two_runs_at_once_make_one_root(tmp_path):
    command = [sys.executable, "-m", "citadel", "init", "--dir", str(tmp_path / "identity")]
    runs = [await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [(await run.communicate())[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sorted(bool(output) for output in outputs) == [False, True]


async def test_two_replicas_that_start_at_once_get_the_same_root(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path / 'citadel.db'}"
    engines = [await open_database(url), await open_database(url)]
    roots = await asyncio.gather(
        *(RootStore(engine, lambda: (bytes(32),)).ensure("cluster.local", TTL) for engine in engines)
    )
    assert roots[0].root.certificate == roots[1].root.certificate
    with pytest.raises(MeshError, match="another key-encryption key"):
        await RootStore(engines[0], lambda: (b"x" * 32,)).load()
    for engine in engines:
        await engine.dispose()


async def test_a_root_can_be_rsa_and_live_shorter(tmp_path):
    await initialise(InitOptions(tmp_path, Installation("mesh.example"), timedelta(days=2), root_algorithm="rsa"))
    engine = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'citadel' / 'citadel.db'}")
    keks = parse_keks((tmp_path / "citadel" / "kek").read_text())
    root = (await RootStore(engine, lambda: keks).load()).root
    await engine.dispose()
    assert root.certificate.subject.rfc4514_string() == "O=mesh.example"
    assert root.key.key_size == 2048
    assert root.certificate.not_valid_after_utc - datetime.now(UTC) < timedelta(days=2)
    assert load_identity(tmp_path / "galley").not_after == root.certificate.not_valid_after_utc


def test_the_command_line_names_what_is_wrong(tmp_path, capsys):
    assert init(["--dir", str(tmp_path), "--trust-domain", "Not a domain"]) == 1
    assert "'Not a domain' is not a trust domain" in capsys.readouterr().err
    assert init(["--dir", str(tmp_path), "--san", "nobody=x"]) == 1
    assert init(["--dir", str(tmp_path), "--san", "galley="]) == 1
    assert init(["--dir", str(tmp_path), "--stack", "255"]) == 1
    with pytest.raises(SystemExit):
        init(["--dir", str(tmp_path), "--owner", "root"])
    with pytest.raises(SystemExit):
        init(["--dir", str(tmp_path), "--state-key", "../x"])


async def test_the_nats_server_accepts_both_profiles(tmp_path):
    for profile in InstallProfile:
        directory = tmp_path / profile.value
        await initialise(options(directory, installation={"profile": profile}))
        binary = str(Path(sys.executable).with_name("nats-server"))
        command = [binary, "-t", "-c", str(directory / "nats" / "nats.conf")]
        checked = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr
    assert not (tmp_path / "machine" / "postgres").exists()
    text = (tmp_path / "compose" / "nats" / "nats.conf").read_text()
    assert "sync_interval: always" in text
    assert "tls {" in text


async def test_postgres_and_its_client_have_one_password_and_a_certificate_of_the_mesh(tmp_path):
    wanted = options(tmp_path, installation={"profile": InstallProfile.COMPOSE})
    await initialise(wanted)
    password = (tmp_path / "postgres" / "password").read_text()
    assert (tmp_path / "galley" / "pgpass").read_text() == f"postgres:5432:galley:galley:{password}\n"
    assert "postgres" in host_names(tmp_path / "postgres")
    assert await initialise(wanted) == ()


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
        connect_timeout=20,
    )


async def assert_denied(errors: "asyncio.Queue[str]", subject: str) -> None:
    error = await asyncio.wait_for(errors.get(), 20)
    assert "permissions violation" in error
    assert f'"{subject.lower()}"' in error


async def answered(client: nats.NATS, subject: str) -> Msg:
    """The answer to a request. Now and then the server says that nobody listens though a flush has come back to the
    listener: it is asked again."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(NoRespondersError):
                return await client.request(subject, b"", timeout=20)
            await asyncio.sleep(0.01)


async def test_nats_users_can_do_their_work_and_nothing_else(tmp_path):
    """Attack 47: config from anybody but Galley, registrations from anybody but Pilot."""
    with claim() as block:
        server = server_from(tmp_path, block.address())
        server.start()
        errors: asyncio.Queue[str] = asyncio.Queue()
        clients = {name: await user(server.url, name, errors) for name in SERVICES}
        try:
            stores = {name: client.jetstream(timeout=20) for name, client in clients.items()}
            bucket = await stores["galley"].create_key_value(KeyValueConfig(bucket="mesh-config"))
            await bucket.put("core.configmaps.istio-system.istio", b"{}")
            endpoints = await stores["pilot"].create_key_value(KeyValueConfig(bucket="mesh-endpoints"))
            revision = await endpoints.put("one", b"1")
            await endpoints.update("one", b"2", last=revision)
            await endpoints.delete("one")
            for reader in ("pilot", "citadel", "injector"):
                seen = await stores[reader].key_value("mesh-config")
                watcher = await seen.watchall()
                entry = await watcher.updates(timeout=20)
                assert entry.value == b"{}"
                await watcher.stop()
            asked = await clients["galley"].subscribe("mesh.config.list")
            await clients["galley"].flush()
            pending = asyncio.ensure_future(answered(clients["citadel"], "mesh.config.list"))
            await clients["galley"].publish((await asked.next_msg(timeout=20)).reply, b"all of it")
            assert (await pending).data == b"all of it"
            queries = await clients["pilot"].subscribe("pilot.query.>")
            await clients["pilot"].flush()
            pending = asyncio.ensure_future(answered(clients["pilot"], "pilot.query.syncz"))
            await (await queries.next_msg(timeout=20)).respond(b"mine")
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
        names = {"installation": {"profile": InstallProfile.COMPOSE, "extra_names": {"nats": (block.address(),)}}}
        await initialise(options(identity, **names))
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
            async with connect(bus_settings) as bus, asyncio.timeout(30):
                await bus.connected()
                await bus.jetstream().create_key_value(KeyValueConfig(bucket="mesh-config"))
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.to_thread(handshake, block.address(), ssl.create_default_context())
        finally:
            server.kill()


def handshake(address: str, context: ssl.SSLContext) -> None:
    with socket.create_connection((address, 4222), timeout=20) as connection:
        assert connection.recv(4096).startswith(b"INFO ")
        with context.wrap_socket(connection, server_hostname=address):
            pass


def test_the_files_can_be_given_to_the_user_that_the_services_run_as(tmp_path, capsys):
    assert init(["--dir", str(tmp_path / "identity"), "--owner", f"{os.getuid()}:{os.getgid()}"]) == 0
    assert "galley/cert-chain.pem" in capsys.readouterr().out
    assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {os.getuid()}
