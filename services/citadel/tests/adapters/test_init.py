import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from citadel.adapters import first_start
from citadel.adapters.database import open_database
from citadel.adapters.first_start import InitOptions, initialise
from citadel.adapters.init_command import init
from citadel.adapters.root_store import RootStore
from citadel.core.members import Installation, InstallProfile
from citadel.core.sealing import parse_keks
from cryptography import x509
from meshcore.errors import MeshError
from meshcore.http import Credentials, Role, TokenAuthenticator
from meshcore.testing import openssl
from meshcore.tls import identity as identity_module
from meshcore.tls import load_identity

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


def test_the_files_can_be_given_to_the_user_that_the_services_run_as(tmp_path, capsys):
    assert init(["--dir", str(tmp_path / "identity"), "--owner", f"{os.getuid()}:{os.getgid()}"]) == 0
    assert "galley/cert-chain.pem" in capsys.readouterr().out
    assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {os.getuid()}
